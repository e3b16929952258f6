//! Conversations that lack something, of those of some minutes.

use super::visibility_loss::RULE;
use super::window::MINUTE;
use crate::findings::{number, real};
use crate::judge::View;
use crate::verdict::Verdict;
use model::Timestamp;
use serde::{Deserialize, Serialize};

/// A window ends after this time, or as soon as so many conversations are in it. One with too few waits for more for so long.
const WINDOW: i64 = 10 * MINUTE;
const LONGEST: i64 = 30 * MINUTE;
const FULL: u32 = 40;
/// Conversations that tell something.
const LEAST: u32 = 10;
/// Times the usual share that are too many.
const TIMES: f64 = 3.0;
/// Times the share that is too many, of which nobody waits for the rest of the window.
const PLAIN: u32 = 2;
/// So few already make it doubtful whether the sensor sees; fewer tell nothing. Of what was told, so few are still of it.
const LITTLE: u32 = 3;
const STILL: u32 = 2;
/// What goes on for so long is learned.
const USUAL: i64 = 24 * 60 * MINUTE;

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
    /// When the first that lacked it began, of windows in a row in which more did than usual; 0 for none. Whether that was told.
    pub(super) began: i64,
    pub(super) is_told: bool,
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
        if lacks && (self.began == 0 || first.0 < self.began) {
            self.began = first.0;
        }
    }

    fn share(&self) -> f64 {
        f64::from(self.lacking) / f64::from(self.all)
    }

    fn usual_share(&self) -> f64 {
        if self.usual_all == 0 { 0.0 } else { self.usual_lacking as f64 / self.usual_all as f64 }
    }

    /// Whether far more than usual lack it.
    fn is_more(&self) -> bool {
        self.lacking >= if self.is_told { STILL } else { LITTLE } && self.share() > self.usual_share() * TIMES
    }

    /// Whether more than so many of a hundred do, too.
    fn is_much(&self, limit: u32) -> bool {
        u64::from(self.lacking) * 100 > u64::from(self.all) * u64::from(limit) && self.is_more()
    }

    /// A loss is over when it is gone, not when it is a little less.
    const fn limit(&self, lack: &Lack) -> u32 {
        if self.is_told { lack.limit / 2 } else { lack.limit }
    }

    /// A minute is over: the window may be, too.
    pub(super) fn minute(&mut self, lack: &Lack, view: &View<'_>) -> Judged {
        let is_armed = view.is_site_armed(view.now);
        let limit = self.limit(lack);
        let (is_much, is_enough) = (is_armed && self.is_much(limit), self.all >= LEAST);
        let is_plain = is_much && is_enough && self.is_much(lack.limit * PLAIN);
        let lasted = view.now.0.saturating_sub(self.from);
        let is_long = lasted >= if is_enough { WINDOW } else { LONGEST };
        if self.all == 0 || !(is_long || self.all >= FULL || is_plain) {
            return if is_much { Judged::Doubtful(Timestamp(self.began)) } else { Judged::Fine };
        }
        let window = self.clone();
        (self.all, self.lacking) = (0, 0);
        let goes_on = is_armed && window.is_more();
        if !goes_on || view.now.0.saturating_sub(window.began) > USUAL {
            self.usual_all += u64::from(window.all);
            self.usual_lacking += u64::from(window.lacking);
        }
        self.is_told = is_much && is_enough;
        if self.is_told {
            return Judged::Much(window);
        }
        if !goes_on {
            self.began = 0;
        }
        Judged::Fine
    }

    pub(super) fn verdict(&self, lack: &Lack, until: Timestamp) -> Verdict {
        let from = Timestamp(self.began);
        let title = format!("{} of {} TCP conversations {}", self.lacking, self.all, lack.title);
        Verdict::new(&RULE, None, from, title)
            .apart(lack.apart)
            .between(from, until)
            .found([
                number("conversations", self.all.into()),
                number(lack.figure, self.lacking.into()),
                real("share", self.share()),
                real("share_limit", f64::from(self.limit(lack)) / 100.0),
            ])
            .normal([
                real("usual_share", self.usual_share()),
                number("usual_over_conversations", self.usual_all),
            ])
    }
}
