//! `fwd features`.

use crate::{
    Result,
    cli::{args::FeaturesArgs, session::Session},
    dataplane::{FEATURES, Feature, Part, Support},
    render::FeatureView,
};

/// Shows what the kernel has of what `fwd` needs.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &FeaturesArgs) -> Result<()> {
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
