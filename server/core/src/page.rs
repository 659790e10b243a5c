//! Lists, a page at a time.

use serde::Serialize;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Give this as `after` to get the next page; `null` when there is none.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page out of up to `limit + 1` items: the surplus one proves that there is more. `cursor` names an item's place.
    pub fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }

    /// The same page of something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one_only_when_there_is_more() {
        let page = Page::cut(vec![9, 8, 7], 2, i32::to_string);
        assert_eq!((page.items, page.next), (vec![9, 8], Some("8".to_owned())));
        assert_eq!(Page::cut(vec![9, 8], 2, i32::to_string).next, None);
    }
}
