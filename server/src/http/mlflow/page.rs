//! Pages of MLflow's lists: tokens that say where a list goes on.

use base64::{Engine, prelude::BASE64_STANDARD};
use edgeflow_store::Slice;
use serde::{Deserialize, Serialize};

use crate::http::mlflow::MlflowError;

#[derive(Serialize, Deserialize)]
struct Token {
    offset: u64,
}

/// One page of a list: where it begins, and how long it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging {
    offset: u64,
    limit: u32,
}

impl Paging {
    /// The page a request asks for, of at most `most` items.
    pub(crate) fn new(token: Option<&str>, max_results: Option<i64>, default: u32, most: u32) -> Result<Self, MlflowError> {
        let limit = match max_results {
            None => default,
            Some(given) => u32::try_from(given)
                .ok()
                .filter(|limit| (1..=most).contains(limit))
                .ok_or_else(|| MlflowError::invalid(format!("max_results {given} is not in 1 to {most}")))?,
        };
        let offset = match token {
            None | Some("") => 0,
            Some(token) => {
                let decoded = BASE64_STANDARD.decode(token).ok();
                let read = decoded.and_then(|bytes| serde_json::from_slice::<Token>(&bytes).ok());
                read.filter(|token| i64::try_from(token.offset).is_ok())
                    .ok_or_else(|| MlflowError::invalid(format!("bad page_token {token:?}: give the next_page_token of a page")))?
                    .offset
            }
        };
        Ok(Self { offset, limit })
    }

    /// What to ask for: one more than the page has, which proves that there is more.
    pub(crate) fn slice(self) -> Slice {
        Slice { offset: self.offset, limit: self.limit.saturating_add(1) }
    }

    /// Cuts the surplus off; the token of the next page when there was one.
    pub(crate) fn cut<T>(self, items: &mut Vec<T>) -> Option<String> {
        let limit = self.limit as usize;
        if items.len() <= limit {
            return None;
        }
        items.truncate(limit);
        let token = serde_json::json!({ "offset": self.offset + u64::from(self.limit) });
        Some(BASE64_STANDARD.encode(token.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page() {
        let first = Paging::new(None, Some(2), 100, 1000).unwrap();
        let mut items = vec![1, 2, 3];
        let token = first.cut(&mut items).unwrap();
        assert_eq!(items, [1, 2]);
        let second = Paging::new(Some(&token), None, 100, 1000).unwrap();
        assert_eq!(second.slice(), Slice { offset: 2, limit: 101 });
        assert_eq!(second.cut(&mut items), None);
    }

    #[test]
    fn what_is_no_token_and_no_size_is_refused() {
        for token in ["zzz", "e30=", "eyJvZmZzZXQiOi0xfQ==", "eyJvZmZzZXQiOjE4NDQ2NzQ0MDczNzA5NTUxNjE1fQ=="] {
            assert!(Paging::new(Some(token), None, 1, 1).is_err(), "{token}");
        }
        for size in [0, -1, 1001, i64::MAX] {
            assert!(Paging::new(None, Some(size), 1, 1000).is_err(), "{size}");
        }
    }
}
