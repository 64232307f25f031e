//! The distributions of a report as a log of histograms (HdrHistogram, log format 1.3 with histograms of V2, compressed): what
//! HistogramLogAnalyzer, `hdr-plot` and the libraries of other languages read.

use std::time::Duration;

use hdrhistogram::serialization::{
    V2DeflateSerializer,
    interval_log::{IntervalLogWriterBuilder, Tag},
};

use crate::report::Report;

/// Nanoseconds in the unit of the column that is for people: milliseconds.
const MILLISECOND: f64 = 1e6;

/// One line for each path and metric that has a distribution, over all rounds, tagged `fwd-tc/tcp-rr`. Values are nanoseconds of whole
/// round trips, of connections from connect to reset. Empty but for its head if there is none.
#[must_use]
pub fn log(report: &Report) -> String {
    // Nothing of it can fail: it is written to memory, the tags have neither commas nor spaces, and a histogram that was recorded
    // can be encoded.
    String::from_utf8(written(report).unwrap_or_default()).unwrap_or_default()
}

fn written(report: &Report) -> Option<Vec<u8>> {
    let mut log = Vec::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("[Histogram log format version 1.3]");
    builder
        .add_comment(&format!("fwd bench {}: nanoseconds of whole round trips, tagged by path and metric", report.fwd));
    if let Ok(started) = humantime::parse_rfc3339(&report.started) {
        builder.with_start_time(started);
    }
    builder.with_max_value_divisor(MILLISECOND);
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = builder.begin_log_with(&mut log, &mut serializer).ok()?;
    let took = Duration::try_from_secs_f64(report.took).unwrap_or_default();
    for path in &report.paths {
        for metric in &path.metrics {
            let Some(times) = metric.latency.as_ref().and_then(|latency| latency.times.as_ref()) else { continue };
            let tag = format!("{}/{}", path.path, metric.metric);
            writer.write_histogram(times, Duration::ZERO, took, Tag::new(&tag)).ok()?;
        }
    }
    Some(log)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hdrhistogram::{
        Histogram,
        serialization::{
            Deserializer,
            interval_log::{IntervalLogIterator, LogEntry},
        },
    };

    use super::log;
    use crate::{Path, render::sample};

    /// Base64 (RFC 4648, section 4), by a few lines: nothing else of ours reads it.
    fn decoded(text: &str) -> Vec<u8> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bits = 0_u32;
        let mut held = 0;
        let mut bytes = Vec::new();
        for letter in text.bytes().filter(|letter| *letter != b'=') {
            let value = ALPHABET.iter().position(|known| *known == letter).expect("a letter of the alphabet");
            bits = bits << 6 | value as u32;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
            }
        }
        bytes
    }

    #[test]
    fn what_was_recorded_is_read_back_by_its_tag() {
        let mut report = sample::report();
        let mut kept = BTreeMap::new();
        for (number, path) in report.paths.iter_mut().enumerate() {
            for metric in &mut path.metrics {
                let Some(latency) = metric.latency.as_mut() else { continue };
                let mut times = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
                (1..500_u64).for_each(|step| times.record(step * step * (number as u64 + 1)).expect("it fits"));
                kept.insert(format!("{}/{}", path.path, metric.metric), times.clone());
                latency.times = Some(times);
            }
        }
        let text = log(&report);
        let (mut read, mut started) = (BTreeMap::new(), None);
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            match entry.expect("a line of a log") {
                LogEntry::Interval(line) => {
                    let bytes = decoded(line.encoded_histogram());
                    let times: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).expect("V2");
                    assert_eq!(line.duration().as_millis(), 412_700);
                    read.insert(line.tag().expect("a tag").as_str().to_owned(), times);
                }
                LogEntry::StartTime(time) => started = Some(time.as_secs()),
                LogEntry::BaseTime(_) => panic!("the lines count from the start"),
            }
        }
        assert_eq!(started, Some(1_795_516_198), "2026-11-24T10:29:58Z");
        assert!(read == kept && kept.len() == 21, "{:?}", read.keys());
        assert!(text.starts_with("#[Histogram log format version 1.3]\n"), "{text}");
    }

    #[test]
    fn what_has_no_distribution_has_no_line() {
        let report = sample::report();
        assert!(report.paths.iter().any(|path| path.path == Path::FwdTc));
        assert!(
            log(&report).lines().all(|line| line.starts_with('#')),
            "a document that was read has the figures alone"
        );
    }
}
