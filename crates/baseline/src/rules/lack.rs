//! Conversations that lack something, of those of some minutes.

use super::visibility_loss::RULE;
use super::window::MINUTE;
use crate::findings::{number, real};
use crate::judge::View;
use crate::verdict::Verdict;
use model::Timestamp;
use serde::{Deserialize, Serialize};

/// A window ends after this time, or as soon as so many conversations are in it.
const WINDOW: i64 = 10 * MINUTE;
const FULL: u32 = 40;
/// Conversations that tell something.
const LEAST: u32 = 10;
/// Times the usual share that are too many.
const TIMES: f64 = 3.0;
/// Times the share that is too many, of which nobody waits for the rest of the window.
const PLAIN: u32 = 2;
/// So few already make it doubtful whether the sensor sees.
const LITTLE: u32 = 3;

/// What conversations may lack.
#[derive(Debug)]
pub(super) struct Lack {
    /// The share that is too many, in per cent.
    pub(super) limit: u32,
    /// Whether it hides what was said.
    pub(super) hides: bool,
    /// What tells findings of it apart, and its name and words.
    pub(super) apart: &'static str,
    pub(super) figure: &'static str,
    pub(super) title: &'static str,
}

/// Those of a window, and what was usual.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// When the first of the window began, how many there are, and how many of them lack it.
    pub(super) from: i64,
    pub(super) all: u32,
    pub(super) lacking: u32,
    /// The same over all windows that were learned.
    pub(super) usual_all: u64,
    pub(super) usual_lacking: u64,
}

/// What a minute made of a window.
pub(super) enum Judged {
    /// There is nothing to tell.
    Fine,
    /// Since a time it is doubtful whether the sensor sees: the window is not over.
    Doubtful(Timestamp),
    /// It is over, and too many lack it.
    Much(Sample),
}

impl Sample {
    /// A conversation that began at a time.
    pub(super) const fn note(&mut self, first: Timestamp, lacks: bool) {
        if self.all == 0 {
            self.from = first.0;
        }
        self.all = self.all.saturating_add(1);
        self.lacking = self.lacking.saturating_add(lacks as u32);
    }

    fn share(&self) -> f64 {
        f64::from(self.lacking) / f64::from(self.all)
    }

    fn usual_share(&self) -> f64 {
        if self.usual_all == 0 { 0.0 } else { self.usual_lacking as f64 / self.usual_all as f64 }
    }

    /// Whether more than so many of a hundred lack it, and far more than usual.
    fn is_much(&self, limit: u32) -> bool {
        let percent = u64::from(self.lacking) * 100;
        percent > u64::from(self.all) * u64::from(limit) && self.share() > self.usual_share() * TIMES
    }

    /// A minute is over: the window may be, too.
    pub(super) fn minute(&mut self, lack: &Lack, view: &View<'_>) -> Judged {
        let is_armed = view.is_site_armed(view.now);
        let (is_much, is_enough) = (is_armed && self.is_much(lack.limit), self.all >= LEAST);
        let is_plain = is_much && is_enough && self.is_much(lack.limit * PLAIN);
        let is_over = view.now.0.saturating_sub(self.from) >= WINDOW || self.all >= FULL || is_plain;
        if self.all == 0 || !is_over {
            let is_doubtful = is_much && self.lacking >= LITTLE;
            return if is_doubtful { Judged::Doubtful(Timestamp(self.from)) } else { Judged::Fine };
        }
        let window = self.clone();
        (self.all, self.lacking) = (0, 0);
        if is_much && is_enough {
            return Judged::Much(window);
        }
        self.usual_all += u64::from(window.all);
        self.usual_lacking += u64::from(window.lacking);
        Judged::Fine
    }

    pub(super) fn verdict(&self, lack: &Lack, until: Timestamp) -> Verdict {
        let from = Timestamp(self.from);
        let title = format!("{} of {} TCP conversations {}", self.lacking, self.all, lack.title);
        Verdict::new(&RULE, None, from, title)
            .apart(lack.apart)
            .between(from, until)
            .found([
                number("conversations", self.all.into()),
                number(lack.figure, self.lacking.into()),
                real("share", self.share()),
                real("share_limit", f64::from(lack.limit) / 100.0),
            ])
            .normal([
                real("usual_share", self.usual_share()),
                number("usual_over_conversations", self.usual_all),
            ])
    }
}
