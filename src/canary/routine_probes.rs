//! The short list of probes that every canary run sends.

use super::{
    probe::{Expected, Probe},
    request::Request,
    synthetic_users::{OBJECT_NAME, SyntheticUsers, Unfit, User},
};

/// The purpose of a request in a canary run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    OwnWrite,
    OtherWrite,
    OtherRead,
    OtherDelete,
}

impl Step {
    pub(super) const ALL: [Self; 4] = [Self::OwnWrite, Self::OtherWrite, Self::OtherRead, Self::OtherDelete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OwnWrite => "own_write",
            Self::OtherWrite => "other_write",
            Self::OtherRead => "other_read",
            Self::OtherDelete => "other_delete",
        }
    }

    fn probe(self, user: User, request: Request, expected: Expected) -> (Self, Probe) {
        let name = self.name().to_owned();
        (self, Probe { name, by: Some(user), request, expected, completes_upload: false })
    }
}

/// Returns the probes in the order in which they are sent. First each user writes their own object. Then each
/// tries on the other's object every action that the template allows on their own. The objects have fixed
/// names, so their number never grows.
pub(super) fn probes(users: &SyntheticUsers) -> Result<Vec<(Step, Probe)>, Unfit> {
    let mut own = Vec::new();
    let mut others = Vec::new();
    for user in User::BOTH {
        let own_request = write(users, user, user)?;
        own.push(Step::OwnWrite.probe(user, own_request, Expected::Allowed));
        let others_request = write(users, user, user.other())?;
        others.push(Step::OtherWrite.probe(user, others_request, Expected::Denied));
        let others_key = own_object_key(users, user.other())?;
        for (step, method, action) in [
            (Step::OtherRead, "GET", "name/cos:GetObject"),
            (Step::OtherDelete, "DELETE", "name/cos:DeleteObject"),
        ] {
            if users.own_objects(user, action).is_some() {
                others.push(step.probe(user, Request::of(method, &others_key), Expected::Denied));
            }
        }
    }
    own.append(&mut others);
    Ok(own)
}

/// Returns the requests that delete the written objects, with their users, where the template allows it.
pub(super) fn clean_up(users: &SyntheticUsers) -> Vec<(User, Request)> {
    let mut requests = Vec::new();
    for user in User::BOTH {
        if let Ok(key) = own_object_key(users, user)
            && users.is_allowed(user, "name/cos:DeleteObject", &key, None, None)
        {
            requests.push((user, Request::of("DELETE", &key)));
        }
    }
    requests
}

/// A write by one user of the object in a user's own folder.
fn write(users: &SyntheticUsers, by: User, home: User) -> Result<Request, Unfit> {
    let objects = users.own_objects(by, "name/cos:PutObject").ok_or_else(|| users.cannot_write())?;
    Ok(Request::of("PUT", &own_object_key(users, home)?)
        .with_body(by.object_body())
        .with_header("content-type", objects.content_type))
}

/// Returns the key of the object in a user's own folder.
fn own_object_key(users: &SyntheticUsers, user: User) -> Result<String, Unfit> {
    let objects = users.own_objects(user, "name/cos:PutObject").ok_or_else(|| users.cannot_write())?;
    Ok(objects.key(OBJECT_NAME))
}
