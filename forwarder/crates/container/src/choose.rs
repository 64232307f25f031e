//! Which container is meant.

use crate::{
    Runtime,
    container::{identity, short},
    state::{ContainerState, RuntimeStates},
};
use fwd_base::{
    Error, Kind, Result,
    text::{harmless, word},
};
use fwd_kernel::netns::nearest;

/// How many of several that could be meant are named.
const NAMED: usize = 4;

/// The one that is called `asked`: the first of these rules by which any is found has to find one alone.
///
/// 1. its name, or its whole id: a name is for one container of its runtime alone;
/// 2. the beginning of its id.
///
/// # Errors
/// [`Kind::NotFound`], [`Kind::Usage`] if several are.
pub(crate) fn choose<'a>(state: &'a RuntimeStates, asked: &str) -> Result<&'a ContainerState> {
    let Asked { runtime, namespace, text } = Asked::of(asked)?;
    let is_asked = |it: &&ContainerState| {
        runtime.is_none_or(|runtime| it.runtime == runtime)
            && namespace.is_none_or(|namespace| it.namespace.as_deref() == Some(namespace))
    };
    let candidates: Vec<&ContainerState> = state.containers.iter().filter(is_asked).collect();
    let rules: [&dyn Fn(&ContainerState) -> bool; 2] =
        [&|it| it.id == text || it.names.iter().any(|name| name == text), &|it| it.id.starts_with(text)];
    for rule in rules {
        let found: Vec<&ContainerState> = candidates.iter().filter(|it| rule(it)).copied().collect();
        match found[..] {
            [] => {}
            [one] => return Ok(one),
            _ => return Err(several(asked, &found)),
        }
    }
    Err(none(state, asked, text, &candidates))
}

/// The parts of what the user typed.
struct Asked<'a> {
    runtime: Option<Runtime>,
    namespace: Option<&'a str>,
    text: &'a str,
}

impl<'a> Asked<'a> {
    /// Neither names nor ids have a colon or a slash in them.
    fn of(asked: &'a str) -> Result<Self> {
        let (runtime, rest) = match asked.split_once(':') {
            None => (None, asked),
            Some((runtime, rest)) => (Some(named(asked, runtime)?), rest),
        };
        let (namespace, text) = rest.split_once('/').map_or((None, rest), |(first, rest)| (Some(first), rest));
        if text.is_empty() {
            return Err(Error::new(Kind::Usage, "use", format!("--container {}", word(asked)), "it names none")
                .remedy("give a container's name or id, or the beginning of its id"));
        }
        Ok(Self { runtime, namespace, text })
    }
}

/// The runtime of that name.
fn named(asked: &str, name: &str) -> Result<Runtime> {
    Runtime::ALL.into_iter().find(|runtime| runtime.name() == name).ok_or_else(|| {
        let why = format!("there is no runtime {} that it knows", harmless(name));
        Error::new(Kind::Usage, "use", format!("--container {}", word(asked)), why)
            .remedy("docker:NAME, podman:NAME or containerd:NAMESPACE/NAME")
    })
}

fn several(asked: &str, found: &[&ContainerState]) -> Error {
    let mut shown: Vec<String> = found.iter().take(NAMED).map(|it| shown(it)).collect();
    if found.len() > NAMED {
        shown.push(format!("{} more", found.len() - NAMED));
    }
    let why = format!("{} containers are called so: {}", found.len(), shown.join(", "));
    let first = found.first().map(|it| identity(it.runtime, it.namespace.as_deref(), &it.id)).unwrap_or_default();
    Error::new(Kind::Usage, "choose", format!("container {}", harmless(asked)), why)
        .remedy(format!("say which, with more of its id, or with its runtime: --container {}", word(&first)))
}

/// `web (docker, 956617f66200)`.
fn shown(noted: &ContainerState) -> String {
    let id = short(&noted.id);
    let namespace = noted.namespace.as_ref().map(|namespace| format!(" {namespace}")).unwrap_or_default();
    let of = format!("{}{namespace}", noted.runtime.name());
    let text = match noted.names.first() {
        Some(name) => format!("{name} ({of}, {id})"),
        None => format!("{id} ({of})"),
    };
    harmless(&text).into_owned()
}

fn none(state: &RuntimeStates, asked: &str, text: &str, candidates: &[&ContainerState]) -> Error {
    let unreadable = state.unreadable.first().map(|first| format!(" ({first})")).unwrap_or_default();
    let why = format!("docker, podman and containerd note none of this name or id{unreadable}");
    let names: Vec<&str> =
        candidates.iter().flat_map(|it| it.names.iter().chain([&it.id])).map(String::as_str).collect();
    let remedy = match nearest(text, &names) {
        Some(meant) => format!("did you mean `{}`?", harmless(meant)),
        None => "`docker ps`, `podman ps` and `ctr task ls` show those that run; of one that is not root's, give its process: \
                 --pid PID"
            .into(),
    };
    Error::new(Kind::NotFound, "find", format!("container {}", harmless(asked)), why).remedy(remedy)
}
