//! The short list: what is tried at every run.

use super::{
    metrics::Step,
    pair::{NAME, Pair, Unfit, body_of},
    request::Request,
    trial::{Expected, Side, Trial},
};

const SIDES: [Side; 2] = [Side::Short, Side::Long];

/// What is tried, in this order: both write their own object, then each goes for the other's in every way in
/// which they may go for their own. The objects have fixed names, so that they never grow more.
pub(super) fn trials(pair: &Pair) -> Result<Vec<(Step, Trial)>, Unfit> {
    let mut own = Vec::new();
    let mut others = Vec::new();
    for side in SIDES {
        let template = pair.grant(side).template_name();
        let unfit = || Unfit::NoWrite(template.to_owned());
        let objects = pair.objects(side, "name/cos:PutObject").ok_or_else(unfit)?;
        let theirs = pair.objects(side.other(), "name/cos:PutObject").ok_or_else(unfit)?.key(NAME);
        let put = |key: &str| {
            Request { body: body_of(side).to_owned(), ..Request::of("PUT", key) }
                .with_header("content-type", objects.content_type)
        };
        let trial = |step: Step, request, expected| {
            (step, Trial { name: step.name().to_owned(), by: Some(side), request, expected })
        };
        own.push(trial(Step::OwnWrite, put(&objects.key(NAME)), Expected::Allowed));
        others.push(trial(Step::OtherWrite, put(&theirs), Expected::Denied));
        for (step, method, action) in [
            (Step::OtherRead, "GET", "name/cos:GetObject"),
            (Step::OtherDelete, "DELETE", "name/cos:DeleteObject"),
        ] {
            if pair.objects(side, action).is_some() {
                others.push(trial(step, Request::of(method, &theirs), Expected::Denied));
            }
        }
    }
    own.append(&mut others);
    Ok(own)
}

/// What is deleted again, by whom, where the template lets them.
pub(super) fn clean_up(pair: &Pair) -> Vec<(Side, Request)> {
    let written = |side| {
        let key = pair.objects(side, "name/cos:PutObject")?.key(NAME);
        let may = pair.may(side, "name/cos:DeleteObject", &key, None, None);
        may.then(|| (side, Request::of("DELETE", &key)))
    };
    SIDES.into_iter().filter_map(written).collect()
}
