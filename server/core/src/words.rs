//! Numbers in sentences that people read: one robot serves, two robots serve.

use std::fmt::Display;

/// So many, with the words for one of them or for any other number: `counted(n, "robot serves it", "robots serve it")`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, others: &str) -> String {
    let words = if count == N::from(1) { one } else { others };
    format!("{count} {words}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn only_one_is_singular() {
        let robots = |count: usize| counted(count, "robot serves it", "robots serve it");
        assert_eq!([0, 1, 2, 21].map(robots), ["0 robots serve it", "1 robot serves it", "2 robots serve it", "21 robots serve it"]);
        assert_eq!(counted(1_u64, "sample", "samples"), "1 sample");
    }
}
