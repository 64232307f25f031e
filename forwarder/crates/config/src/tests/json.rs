//! Files of JSON.

use super::{
    super::{desired, json, read, text},
    said,
};

#[test]
fn json_says_what_the_file_says() {
    let asked =
        said("[networks.web]\nno-icc = true\n[[endpoints]]\nns = \"a\"\nnetwork = \"web\"\npublish = [\"80:80\"]\n")
            .expect("it is right");
    let json: serde_json::Value = serde_json::from_str(&json(&asked).expect("it can be said")).expect("JSON");
    let toml: serde_json::Value = toml::from_str(&text(&asked).expect("it can be said")).expect("TOML");
    assert_eq!(json, toml);
    assert_eq!(json["endpoints"][0]["publish"], serde_json::json!(["80:80/tcp"]));
}

#[test]
fn json_that_was_written_is_read_as_what_it_was_written_of() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x.json");
    let asked = said(
        "[table]\nnat-ports = \"2000-2099\"\n[networks.web]\nno-icc = true\n[networks.db]\ninternal = true\n\
         [[endpoints]]\nns = \"a\"\nnetwork = \"web\"\npublish = [\"80:80\"]\n[[endpoints]]\nns = \"a\"\nnetwork = \"db\"\nifname = \"eth1\"\n",
    );
    let asked = asked.expect("it is right");
    std::fs::write(&path, json(&asked).expect("it can be said")).expect("a file");
    let again = desired(&read(std::slice::from_ref(&path)).expect("it is read")).expect("it is right");
    assert_eq!(text(&again).expect("it can be said"), text(&asked).expect("it can be said"));
    let refused = |said: &str| {
        std::fs::write(&path, said).expect("a file");
        let sources = read(std::slice::from_ref(&path));
        sources.and_then(|sources| desired(&sources)).map(drop).expect_err("it is refused").to_string()
    };
    for (said, words) in [
        ("{\n  \"networks\": {", &["x.json:2:"][..]),
        ("[]", &["x.json:1:"]),
        ("{\"networks\": {\"web\": {\"mtu\": null}}}", &["x.json:1:"]),
        ("{\"networks\": {\"web\": {\"mtv\": 1400}}}", &["x.json (as TOML):2:", "mtv"]),
    ] {
        let error = refused(said);
        assert!(words.iter().all(|word| error.contains(word)), "{said}: {error}");
    }
}
