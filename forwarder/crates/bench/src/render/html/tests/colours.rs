//! Whether the colours of paths can be told apart, and read, by everybody.

use crate::Path;

const STYLE: &str = include_str!("../style.css");
/// How far apart the colours of fwd's paths, the host, and the bridge are at least, in hundredths of Oklab; and those of any two.
const APART: f64 = 9.0;
const ALL_APART: f64 = 7.0;

/// How people see colours, linear RGB: as most, and without one of the three kinds of cones (Machado, Oliveira and Fernandes,
/// 2009, severity 1).
const EYES: [(&str, [[f64; 3]; 3]); 4] = [
    ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    (
        "protanopia",
        [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]],
    ),
    (
        "deuteranopia",
        [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]],
    ),
    (
        "tritanopia",
        [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]],
    ),
];

/// The colours of this name, linear RGB: in light and in dark.
fn colours(name: &str) -> [[f64; 3]; 2] {
    let declared = format!("--{name}: #");
    let mut found = STYLE.split(declared.as_str()).skip(1).map(|rest| {
        let part = |at: usize| u8::from_str_radix(&rest[at..at + 2], 16).expect("a colour");
        [0, 2, 4].map(|at| {
            let part = f64::from(part(at)) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    });
    let both = [found.next().expect("light"), found.next().expect("dark")];
    assert!(found.next().is_none(), "{name} is there twice");
    both
}

fn times(matrix: [[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(factor, part)| factor * part).sum())
}

/// Björn Ottosson's Oklab, in which equal distances look equal.
fn oklab(colour: [f64; 3]) -> [f64; 3] {
    let cones = [
        [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
        [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
        [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
    ];
    let axes = [
        [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
        [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
        [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
    ];
    times(axes, times(cones, colour.map(|part| part.clamp(0.0, 1.0))).map(f64::cbrt))
}

/// How far two colours are from each other, in hundredths, for these eyes.
fn distance(eyes: [[f64; 3]; 3], one: [f64; 3], other: [f64; 3]) -> f64 {
    let seen = [one, other].map(|colour| oklab(times(eyes, colour)));
    100.0 * seen[0].iter().zip(seen[1]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// The contrast of two colours (WCAG 2.2).
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let [a, b] = [one, other].map(|colour| times([[0.2126, 0.7152, 0.0722]; 3], colour)[0] + 0.05);
    a.max(b) / a.min(b)
}

#[test]
fn every_colour_of_a_path_is_in_the_style_sheet_for_light_and_dark() {
    for path in Path::ALL {
        assert!(STYLE.contains(&format!(".p-{path} {{ --c: var(--{path}); }}")), "{path}");
        colours(path.id());
    }
    for path in Path::PUBLISHED {
        assert!(STYLE.contains(&format!(".p-{path} {{ --c: var(--")), "{path}");
    }
}

#[test]
fn paths_are_told_apart_by_everybody() {
    let is_first = |path: Path| path.id().starts_with("fwd-") || [Path::Host, Path::BridgeMasquerade].contains(&path);
    for (index, one) in Path::ALL.into_iter().enumerate() {
        for other in Path::ALL.into_iter().skip(index + 1) {
            let least = if is_first(one) && is_first(other) { APART } else { ALL_APART };
            for ((shade, one_colour), other_colour) in
                ["light", "dark"].into_iter().zip(colours(one.id())).zip(colours(other.id()))
            {
                for (name, eyes) in EYES {
                    let apart = distance(eyes, one_colour, other_colour);
                    assert!(apart >= least, "{one} and {other}, {shade}, {name}: {apart:.1}");
                }
            }
        }
    }
}

#[test]
fn names_in_a_colour_can_be_read() {
    for path in Path::ALL.into_iter().filter(|path| path.id().starts_with("fwd-")) {
        for (colour, paper) in colours(path.id()).into_iter().zip(colours("paper")) {
            assert!(contrast(colour, paper) >= 4.5, "{path}");
        }
    }
}
