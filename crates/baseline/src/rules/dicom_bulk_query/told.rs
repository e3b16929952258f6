//! How too many queries and retrievals are told, and a new destination of some.

use super::{Client, FACTOR, IMAGES, KINDS, QUERIES, REQUESTS, RULE};
use crate::findings::{number, word};
use crate::judge::View;
use crate::profile::Profile;
use crate::rules::calls::Calls;
use crate::rules::destinations::New;
use crate::rules::window::{HOUR, peer};
use crate::trail::Trail;
use crate::verdict::{Out, Verdict};
use model::{IpProto, Timestamp};

/// What a client did within an hour, what is too much, and how many images could not be sent.
pub(super) struct Hour {
    pub(super) sums: [u64; KINDS],
    pub(super) limits: [u64; KINDS],
    pub(super) too_many: [bool; KINDS],
    pub(super) failed: u64,
}

/// Requests and the images that they brought are one act, and one finding of the day. It is told apart as what crossed its
/// limit, and as both once both did: who muted the one has not muted the other.
pub(super) fn retrievals(
    profile: &Profile,
    client: &mut Client,
    hour: &Hour,
    calls: Option<&Calls>,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let [requests, _, images] = hour.sums;
    let (class, name) = (profile.class(), &profile.name);
    let title = match (hour.too_many[REQUESTS], hour.too_many[IMAGES]) {
        (_, false) => format!("{name} ({class}) retrieves far more than usual from a DICOM archive"),
        (false, true) => {
            format!("{name} ({class}) retrieved {images} images within an hour from a DICOM archive")
        }
        (true, true) => format!(
            "{name} ({class}) retrieved {images} images by {requests} requests within an hour from a DICOM archive"
        ),
    };
    let last = Timestamp(client.last);
    let kinds = [("retrievals", hour.too_many[REQUESTS]), ("images", hour.too_many[IMAGES])];
    let service = client.server.map(|(.., port)| (IpProto::TCP, port));
    let apart = out.of_kinds(view, &RULE, (profile.id(), service, last), ("retrievals and images", kinds));
    // What both are of is counted in images, each of which came once.
    let of_images = apart != kinds[0].0;
    let of_requests = apart != kinds[1].0;
    let counted = if of_images { IMAGES } else { REQUESTS };
    let since = view.now.plus(-HOUR);
    let began = [
        client.minutes.began(since, 0).filter(|_| of_requests),
        client.images.began(since, 0).filter(|_| of_images),
    ];
    let figures = if hour.too_many[IMAGES] {
        vec![
            number("images_in_an_hour", images),
            number("threshold", hour.limits[IMAGES]),
            number("factor", FACTOR),
            number("retrievals_in_an_hour", requests),
            number("retrievals_threshold", hour.limits[REQUESTS]),
        ]
    } else {
        vec![
            number("requests_in_an_hour", requests),
            number("threshold", hour.limits[REQUESTS]),
            number("factor", FACTOR),
            number("images_in_an_hour", images),
            number("images_threshold", hour.limits[IMAGES]),
        ]
    };
    let verdict = Verdict::new(&RULE, Some(profile.id()), last, title)
        .times(client.untold[counted].min(hour.sums[counted]))
        .found(figures)
        .found([number("failed_images_in_an_hour", hour.failed)])
        .normal([number("most_in_an_hour_while_learned", client.most[counted])]);
    out.raise(view, about(verdict, profile, client, began.into_iter().flatten().min(), calls).apart(&apart));
    for (kind, is_told) in [(REQUESTS, of_requests), (IMAGES, of_images)] {
        if is_told {
            client.untold[kind] = 0;
        }
    }
}

pub(super) fn queries(
    profile: &Profile,
    client: &mut Client,
    hour: &Hour,
    calls: Option<&Calls>,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let title =
        format!("{} ({}) queries far more than usual from a DICOM archive", profile.name, profile.class());
    let [n, limit] = [hour.sums[QUERIES], hour.limits[QUERIES]];
    let verdict = Verdict::new(&RULE, Some(profile.id()), Timestamp(client.last), title)
        .times(client.untold[QUERIES].min(n))
        .found([number("requests_in_an_hour", n), number("threshold", limit), number("factor", FACTOR)])
        .normal([number("most_in_an_hour_while_learned", client.most[QUERIES])]);
    let began = client.minutes.began(view.now.plus(-HOUR), 1);
    out.raise(view, about(verdict, profile, client, began, calls).apart("queries"));
    client.untold[QUERIES] = 0;
}

/// Since when within the hour, under which titles, and of whom it was asked.
fn about(
    verdict: Verdict,
    profile: &Profile,
    client: &Client,
    began: Option<Timestamp>,
    calls: Option<&Calls>,
) -> Verdict {
    let last = Timestamp(client.last);
    let verdict = verdict
        .between(began.unwrap_or(last).max(Timestamp(client.began)).min(last), last)
        .found(calls.into_iter().flat_map(Calls::figures));
    let Some((server, ip, port)) = client.server else { return verdict };
    let trail = Trail::one(profile.id(), server, ip, (IpProto::TCP, port));
    verdict.peer(peer(server, ip)).service(IpProto::TCP, port, Some("dicom".into())).over(trail)
}

/// An archive is asked to send images to where nobody had any sent before; whether it did is not known yet.
pub(super) fn destination(new: &New, calls: Option<&Calls>, view: &View<'_>, out: &mut Out<'_>) {
    let New { client, title, at, server, known } = new;
    let what = format!(
        "{} ({}) asks a DICOM archive to send images to {title}, which is new",
        client.name,
        client.class()
    );
    let mut verdict = Verdict::new(&RULE, Some(client.id()), *at, what)
        .found(word("destination", title))
        .found(calls.into_iter().flat_map(Calls::figures))
        .normal([number("destinations_known", *known)])
        .normal(view.armed_from.and_then(|from| word("destinations_known_until", &from.to_string())));
    if let Some((server, ip, port)) = *server {
        let trail = Trail::one(client.id(), server, ip, (IpProto::TCP, port));
        verdict =
            verdict.peer(peer(server, ip)).service(IpProto::TCP, port, Some("dicom".into())).over(trail);
    }
    out.raise(view, verdict.apart(&format!("destination {title}")));
}
