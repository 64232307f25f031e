//! Integration tests over sandboxed hosts.

#[cfg(test)]
mod netns;
