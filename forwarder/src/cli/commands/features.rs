//! `fwd features`.

use clap::Args;

use crate::{
    Result,
    cli::session::Session,
    dataplane::{FEATURES, Feature, Part, Support},
    render::FeatureView,
};

/// Examples below the help.
pub(super) const HELP: &str = "\
The kernel is asked by trying: small programs and maps that go at once, and
interfaces in a network namespace that goes with them. What is missing is shown
with what is lost without it. docs/kernels.md has the same list.

Examples:
  fwd features
  fwd features --json | jq -r '.[] | select(.support != \"supported\") | .feature'";

/// `fwd features`.
#[derive(Args, Debug)]
pub(crate) struct FeaturesArgs {}

/// Shows what the kernel has of what `fwd` needs.
pub(super) fn run(session: &mut Session<'_, '_>, args: &FeaturesArgs) -> Result<()> {
    let FeaturesArgs {} = args;
    session.emit(&FEATURES.iter().map(view).collect::<Vec<_>>())
}

fn view(feature: &Feature) -> FeatureView {
    let support = feature.support();
    FeatureView {
        feature: feature.name,
        support: support.name(),
        answer: match support {
            Support::Unknown(answer) => Some(answer),
            Support::Supported | Support::Unsupported => None,
        },
        linux: feature.since,
        needed_for: feature.needed_for,
        parts: feature.parts.iter().copied().map(Part::name).collect(),
        without: feature.without.name(),
        consequence: feature.without.text(),
        probe: feature.probe.how,
    }
}
