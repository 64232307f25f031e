//! teardown: detaches a container from all of its networks, as far as anything of it is there.

use super::{
    Work,
    aardvark::Aardvark,
    failure::{Failure, Result},
    input::Attachment,
    inside,
    others::{Others, is_ours},
};
use crate::commands;
use fwd_engine::execute::Observer;
use fwd_plugin::Answer;

/// Forgets its names and detaches it. Whatever fails, the rest is done all the same.
pub(super) fn run(work: &Work<'_>, names: &Aardvark, observer: &mut dyn Observer) -> Result<Answer> {
    let Work { netns, asked, .. } = work;
    let (mut failures, mut warnings) = (Vec::new(), Vec::new());
    let is_named = |it: &&Attachment| it.network.dns_enabled && is_ours(&it.network).unwrap_or(false);
    let named = asked.attachments.iter().filter(is_named).map(|it| it.network.name.clone());
    failures.extend(names.remove(&asked.id, &named.collect::<Vec<_>>()).err());
    if !netns.exists() {
        warnings.push(format!("container netns not found: {}", netns.display()));
    }
    for attachment in &asked.attachments {
        match work.detach(attachment, observer) {
            Ok(said) => warnings.extend(said),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures).map(|()| Answer { document: None, warnings })
}

impl Work<'_> {
    /// Detaches the container from one of its networks; what the user ought to know.
    pub(super) fn detach(&self, attachment: &Attachment, observer: &mut dyn Observer) -> Result<Vec<String>> {
        let Self { call, netns, asked, host } = self;
        // What podman may have noted otherwise by now keeps nobody from leaving.
        if attachment.network.driver == "bridge" && is_ours(&attachment.network).unwrap_or(true) {
            // Of a namespace that is somebody else's by now, or never was the container's, nothing is removed.
            let is_here = self.endpoint(attachment).is_ok_and(|endpoint| endpoint.is_some());
            let cleared = if is_here { inside::clear(netns, &attachment.network) } else { Ok(()) };
            let warnings = commands::teardown(netns, &asked.container(attachment), host, observer)?.warnings;
            return cleared.map(|()| warnings);
        }
        Others { call }.of_network("teardown", netns, asked, attachment).map(|_| Vec::new())
    }
}
