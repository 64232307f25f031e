//! Long lists as JSON: an item a line, made on all CPUs.

use std::{
    io::{self, Write},
    num::NonZero,
    thread,
};

use serde::Serialize;

/// Items that a thread makes into text at once.
const CHUNK: usize = 8_192;
/// More threads would only wait for the output.
const MOST_THREADS: usize = 4;

/// Writes `items`, as `view` shows each, as a JSON array with an item a line, and a newline at its end.
///
/// # Errors
/// Those of `out`.
pub fn write_json_list<T: Sync, V: Serialize>(
    items: &[T],
    view: &(impl Fn(&T) -> V + Sync),
    out: &mut dyn Write,
) -> io::Result<()> {
    if items.is_empty() {
        return writeln!(out, "[]");
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    let mut before: &[u8] = b"[\n  ";
    for chunks in items.chunks(CHUNK * threads) {
        let texts: Vec<io::Result<Vec<u8>>> = thread::scope(|scope| {
            let (own, others) = chunks.split_at(chunks.len().min(CHUNK));
            let others: Vec<_> = others.chunks(CHUNK).map(|chunk| scope.spawn(|| lines(chunk, view))).collect();
            let own = [lines(own, view)];
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            own.into_iter().chain(others.into_iter().map(join)).collect()
        });
        for text in texts {
            out.write_all(before)?;
            out.write_all(&text?)?;
            before = BETWEEN;
        }
    }
    out.write_all(b"\n]\n")
}

/// Between two items.
const BETWEEN: &[u8] = b",\n  ";

/// Items, a line each, without what comes before and after them.
fn lines<T, V: Serialize>(items: &[T], view: &impl Fn(&T) -> V) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(items.len() * 512);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.extend_from_slice(BETWEEN);
        }
        serde_json::to_writer(&mut text, &view(item))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn written(count: usize) -> String {
        let items: Vec<usize> = (0..count).collect();
        let mut out = Vec::new();
        write_json_list(&items, &|item| format!("item {item}"), &mut out).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("UTF-8");
        let read: Vec<String> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, items.iter().map(|item| format!("item {item}")).collect::<Vec<_>>());
        text
    }

    #[test]
    fn items_keep_their_order_however_many_there_are() {
        for count in [2, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7] {
            written(count);
        }
    }

    #[test]
    fn an_item_has_a_line() {
        assert_eq!(written(0), "[]\n");
        assert_eq!(written(2), "[\n  \"item 0\",\n  \"item 1\"\n]\n");
    }
}
