//! `fwd bench control`.

use std::io::{self, Write};

use crate::control::{ControlReport, Flows, Size, Times};
use fwd_render::{
    Look, Tone, View,
    table::{Grid, Holds, plain, toned},
    units, write_warning,
};

impl View for ControlReport {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let columns = [
            ("NAMESPACES", Holds::Number),
            ("COMMAND", Holds::Text),
            ("TIMES", Holds::Number),
            ("MEDIAN", Holds::Number),
            ("90 %", Holds::Number),
            ("LONGEST", Holds::Number),
        ];
        let mut grid = Grid::new(look, &columns);
        for size in &self.sizes {
            rows(size, &mut grid);
        }
        if let Some(Flows { count, json, .. }) = &self.flows {
            row(&mut grid, "1", &format!("flows --json of {}", units::packets(*count as u64)), json);
        }
        grid.write(0, out)?;
        writeln!(out)?;
        self.notes(look, out)
    }
}

impl ControlReport {
    fn notes(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let networks = units::counted(self.networks as u64, "network");
        let attach = self.attach.as_ref().map(|attach| format!("; --attach {attach}")).unwrap_or_default();
        let mut lines = vec![format!(
            "a command is a process on {}; \"library\" leaves out its start and end; {networks}{attach}",
            self.environment.kernel
        )];
        if let Some(size) = self.sizes.last() {
            lines.push(format!(
                "memory: {} for the largest process, {} in the kernel for the flow table",
                units::bytes(size.process_bytes),
                units::bytes(size.table_bytes)
            ));
        }
        if self.sizes.iter().any(|size| size.namespaces == 1) {
            lines.push("with 1 namespace, up loads the data path and down is down --all".into());
        }
        lines.iter().try_for_each(|line| writeln!(out, "{}", look.paint(Tone::Dim, line)))?;
        self.warnings.iter().try_for_each(|warning| write_warning(warning, look, out))
    }
}

fn rows(size: &Size, grid: &mut Grid) {
    let Size { namespaces, rounds: _, up, up_library, up_pool, down, down_all, process_bytes: _, table_bytes: _ } =
        size;
    row(grid, &namespaces.to_string(), "up", up);
    if *namespaces > 1 {
        row(grid, "", "  library", up_library);
        up_pool.iter().for_each(|up_pool| row(grid, "", "up from the pool", up_pool));
        row(grid, "", "down of one", down);
    }
    row(grid, "", "down --all", down_all);
}

fn row(grid: &mut Grid, namespaces: &str, command: &str, times: &Times) {
    grid.row(vec![
        plain(namespaces),
        plain(command),
        toned(times.count, Tone::Dim),
        toned(span(times.median), Tone::Strong),
        plain(span(times.p90)),
        plain(span(times.max)),
    ]);
}

/// `4.2 ms`, `1.25 s`.
fn span(milliseconds: f64) -> String {
    if milliseconds < 1000.0 { format!("{milliseconds:.1} ms") } else { format!("{:.2} s", milliseconds / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment;

    #[test]
    fn every_command_of_every_size_has_a_line() {
        let times = |median| Times { count: 3, median, low: median, high: median, p90: median * 2.0, max: 1250.0 };
        let size = |namespaces| Size {
            namespaces,
            rounds: 3,
            up: times(4.25),
            up_library: times(3.0),
            up_pool: (namespaces > 1).then(|| times(2.0)),
            down: times(5.0),
            down_all: times(60.0),
            process_bytes: 8_000_000,
            table_bytes: 53 << 20,
        };
        let report = ControlReport {
            schema: 3,
            fwd: "0.0.0".into(),
            environment: environment::gather(),
            networks: 1,
            attach: Some("clsact".into()),
            first: Some(times(80.0)),
            further: Some(times(4.25)),
            sizes: vec![size(1), size(100)],
            flows: Some(Flows { count: 1_000_000, json: times(900.0), bytes: 1 }),
            warnings: vec!["it was interrupted: 7 of about 90 commands were run".into()],
        };
        let look = Look { color: false, width: None, fwd: "fwd".into() };
        let mut text = Vec::new();
        report.text(&look, &mut text).expect("a vector takes everything");
        let text = String::from_utf8(text).expect("UTF-8");
        for words in [
            "up",
            "library",
            "up from the pool",
            "down of one",
            "down --all",
            "flows --json of",
            "4.2 ms",
            "1.25 s",
            "8.00 MB",
            "--attach clsact",
            "warning: it was interrupted",
        ] {
            assert!(text.contains(words), "{words} is missing:\n{text}");
        }
    }
}
