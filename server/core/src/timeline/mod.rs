//! Everything that touched a robot: what it said, what it was told and what was done to it, in one order.
//!
//! The facts are in several databases and by two clocks. Each has a place that never changes, `(time, source, id)`, so that pages
//! of the merged order neither repeat nor leave out anything, whatever arrives meanwhile before the window's end.

mod category;
mod line;
mod place;

pub use category::{Category, Source};
pub use line::{ClockOf, Fact, TimelineItem, Told, Touch, view};
pub use place::{Place, Span, Window, Words};

/// Puts pages of several sources into one: the newest first, at most `limit`, and where to go on.
pub fn merge(parts: Vec<Vec<Touch>>, limit: u32) -> (Vec<Touch>, Option<Place>) {
    let mut all: Vec<Touch> = parts.into_iter().flatten().collect();
    all.sort_by_key(|moment| std::cmp::Reverse(moment.place));
    let more = all.len() > limit as usize;
    all.truncate(limit as usize);
    let next = all.last().filter(|_| more).map(|last| last.place);
    (all, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn place(at_us: i64, source: Source, id: i64) -> Place {
        Place { at_us, source, id }
    }

    #[test]
    fn a_place_reads_back_and_nonsense_is_refused() {
        for source in Source::ALL {
            for at_us in [i64::MIN, -1, 0, i64::MAX] {
                let place = place(at_us, source, -7);
                assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
            }
        }
        for text in ["", "1", "1.entry", "1.entry.", "x.entry.1", "1.letter.1", "1.entry.1.1"] {
            assert!(text.parse::<Place>().unwrap_err().to_string().contains("\"next\" of a page"), "{text}");
        }
    }

    #[test]
    fn every_source_goes_on_where_the_page_before_ended() {
        let window = |after| Window { from_us: 0, to_us: 100, categories: BTreeSet::new(), after, limit: 5 };
        assert_eq!(window(None).span(Source::Entry), Some(Span { from_us: 0, below: (100, i64::MIN), limit: 5 }));
        let after = Some(place(50, Source::Entry, 9));
        let below = |source| window(after).span(source).unwrap().below;
        assert_eq!(below(Source::Entry), (50, 9));
        assert_eq!(below(Source::Began), (50, i64::MAX), "of the same time it comes after entries, all of it");
        assert_eq!(below(Source::Act), (50, i64::MIN), "of the same time it came before entries, all of it");
        let beyond = Some(place(500, Source::Entry, 9));
        assert_eq!(window(beyond).span(Source::Entry).unwrap().below, (100, i64::MIN), "never out of the window");
    }

    #[test]
    fn categories_choose_sources_kinds_and_acts_and_what_nobody_claims_is_an_event() {
        let window = |categories: &[Category]| Window { categories: categories.iter().copied().collect(), ..Window::everything(1) };
        let drift = window(&[Category::Drift]);
        assert_eq!(drift.kinds(), Words { only: Some(vec!["drift_report", "evaluation"]), except: vec![] });
        assert_eq!((drift.span(Source::Began), drift.span(Source::Act)), (None, None));
        let events = window(&[Category::Event, Category::Log]);
        let Words { only: None, except } = events.kinds() else { panic!("any kind but those of other categories") };
        assert!(except.contains(&"state") && !except.contains(&"link") && !except.contains(&"mission"), "{except:?}");
        assert_eq!(window(&[]).kinds(), Words { only: None, except: vec![] });
        assert_eq!(Category::of("mission", Category::kinds), Category::Event);
        assert_eq!(Category::of("revoke_target", Category::actions), Category::Identity);
        for category in Category::ALL {
            assert_eq!(category.as_str().parse::<Category>().unwrap(), category);
            for kind in category.kinds() {
                assert!(Source::Entry.categories().contains(&category), "{kind} would never be asked for");
            }
            for action in category.actions() {
                assert!(Source::Act.categories().contains(&category), "{action} would never be asked for");
            }
        }
    }

    #[test]
    fn pages_of_sources_become_one_the_newest_first_and_name_the_next() {
        let touch = |at_us, source, id| Touch { place: place(at_us, source, id), fact: Fact::Epoch(format!("{id}"), true) };
        let parts =
            || vec![vec![touch(5, Source::Entry, 1), touch(3, Source::Entry, 0)], vec![touch(5, Source::Act, 4), touch(4, Source::Act, 3)]];
        let (page, next) = merge(parts(), 3);
        let places: Vec<_> = page.iter().map(|touch| touch.place.to_string()).collect();
        assert_eq!(places, ["5.act.4", "5.entry.1", "4.act.3"]);
        assert_eq!(next, Some(place(4, Source::Act, 3)));
        assert_eq!(merge(parts(), 4).1, None);
    }
}
