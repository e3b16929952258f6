//! Under which titles a device asks for DICOM associations, and by which it calls servers.

use crate::judge::Titles;
use crate::lists::listed;
use model::Figure;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Titles of each kind that are told apart.
const MOST: usize = 32;

/// The titles of some associations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Calls {
    calling: BTreeSet<String>,
    called: BTreeSet<String>,
}

impl Calls {
    /// An association was asked for, under titles where those were seen.
    pub(super) fn note(&mut self, titles: Option<&Titles>) {
        let Some([calling, called]) = titles else { return };
        for (known, title) in [(&mut self.calling, calling), (&mut self.called, called)] {
            if let Some(title) = title.as_ref().filter(|_| known.len() < MOST) {
                known.insert(title.as_str().to_owned());
            }
        }
    }

    /// Those of another device, which turned out to be this one.
    pub(super) fn absorb(&mut self, other: Self) {
        for (known, titles) in [(&mut self.calling, other.calling), (&mut self.called, other.called)] {
            known.extend(titles.into_iter().take(MOST.saturating_sub(known.len())));
        }
    }

    /// As evidence.
    pub(super) fn figures(&self) -> Vec<(Cow<'static, str>, Figure)> {
        let Self { calling, called } = self;
        let mut all = listed(["calling_titles", "more_calling_titles"], calling, calling.len());
        all.extend(listed(["called_titles", "more_called_titles"], called, called.len()));
        all
    }
}
