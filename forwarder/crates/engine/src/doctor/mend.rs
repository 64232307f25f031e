//! What `fwd doctor --fix` does: commands of ours that alter nothing of anybody else.

use super::{Subject, shown};
use crate::execute::{self, HostContext, Observer};
use fwd_base::{Result, text};
use fwd_kernel::netns::Name;
use fwd_plan::{EndpointRecord, UpRequest, reference};

/// A command of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// `fwd up` of an endpoint that is up: as it is recorded, with whatever is missing.
    Up(Box<UpRequest>),
    /// `fwd reload`.
    Reload,
    /// `fwd gc`.
    Collect,
}

impl Mend {
    /// `fwd up` of the endpoint; none where its namespace is not to be found, or it is a runtime's: nobody but its owner makes it anew.
    pub(super) fn up(endpoint: &EndpointRecord) -> Option<Self> {
        if endpoint.id.owner.is_runtime() {
            return None;
        }
        let target = reference(endpoint);
        let found = execute::open_target(&target).and_then(|ns| ns.cookie()).ok()?;
        let request = UpRequest {
            ifname: Some(endpoint.id.ifname.clone()).filter(|name| !name.is_empty()),
            network: Name::try_from(endpoint.network.as_str()).ok(),
            ..UpRequest::new(target)
        };
        let request = request.with_endpoint(|it| it.pooled = endpoint.marks.pooled);
        (found == endpoint.cookie).then(|| Self::Up(Box::new(request)))
    }

    /// The command, as one types it.
    #[must_use]
    pub fn command(&self) -> String {
        match self {
            // By hand it would be taken.
            Self::Up(request) if request.endpoint.pooled => "fwd doctor --fix".into(),
            Self::Up(request) => {
                let UpRequest { target, ifname, network, .. } = &**request;
                let ifname = ifname
                    .as_ref()
                    .map_or_else(String::new, |ifname| format!(" {}", text::option("--ifname", &shown(ifname))));
                let network = network.as_ref().map_or_else(String::new, |network| format!(" --network {network}"));
                format!("fwd up {}{network}{ifname}", target.option())
            }
            Self::Reload => "fwd reload".into(),
            Self::Collect => "fwd gc".into(),
        }
    }
}

impl Subject<'_> {
    /// What brings a network back to what is recorded: `fwd up` of one of its endpoints, which any of them does.
    pub(super) fn up_again(&self, network: &str) -> Option<Mend> {
        self.actual.records.endpoints.iter().filter(|it| it.network == network).find_map(Mend::up)
    }
}

/// Mends.
///
/// # Errors
/// As the command.
pub fn mend(context: &HostContext, mend: &Mend, observer: &mut dyn Observer) -> Result<()> {
    match mend {
        Mend::Up(request) => execute::up(context, request, observer).map(drop),
        Mend::Reload => execute::reload(context, false).map(drop),
        Mend::Collect => execute::gc(context).map(drop),
    }
}
