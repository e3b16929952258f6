//! Lists in evidence: to whom, and with what. Bounded: some are named, and of the others it is told how many there are.

use crate::findings::{number, word};
use model::{Figure, Text};
use std::borrow::Cow;

/// How many are named.
pub(crate) const NAMED: usize = 8;

/// Some of so many, in their order, as far as there is room, and how many more there are.
pub(crate) fn listed(
    [name, more]: [&'static str; 2],
    some: impl IntoIterator<Item = impl ToString>,
    total: usize,
) -> Vec<(Cow<'static, str>, Figure)> {
    let (mut words, mut shown) = (String::new(), 0_usize);
    for one in some.into_iter().take(NAMED) {
        let one = one.to_string();
        let comma = if words.is_empty() { "" } else { ", " };
        if words.len() + comma.len() + one.len() > Text::MAX {
            break;
        }
        words.push_str(comma);
        words.push_str(&one);
        shown += 1;
    }
    let others = total.saturating_sub(shown) as u64;
    word(name, &words).into_iter().chain((others > 0).then(|| number(more, others))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_named_and_the_others_are_counted() {
        let names = ["targets", "more_targets"];
        let list = |n: usize| listed(names, (1..=n).map(|n| format!("10.0.0.{n}")), n);
        assert_eq!(list(0), []);
        assert_eq!(list(2), [word("targets", "10.0.0.1, 10.0.0.2").unwrap()]);
        let nine = list(9);
        assert_eq!((nine.len(), &nine[1]), (2, &number("more_targets", 1)));
        // What has no room is not cut in the middle.
        let long = listed(names, (0..8).map(|n| format!("{n}{}", "x".repeat(59))), 20);
        let Figure::Words(words) = &long[0].1 else { panic!("{long:?}") };
        assert_eq!((words.as_str().split(", ").count(), &long[1]), (4, &number("more_targets", 16)));
    }
}
