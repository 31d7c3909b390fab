//! The deployments that users imitate: each is valid under both layouts, and says what it needs from the environment.

use std::path::Path;

use crate::braid::{River, root};
use crate::oracle::files;

const NEEDS: [(&str, &str); 4] =
    [("retail", "RETAIL_DATA"), ("quijote-files", "QUIJOTE_DATA"), ("ysb", "YSB_ADS"), ("ysb-files", "YSB_DATA")];

#[test]
fn every_deployment_is_valid_under_both_layouts() {
    let data = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(data.path().join("events")).expect("a directory");
    std::fs::write(data.path().join("ads.csv"), "ad_id,campaign_id\n").expect("a table");
    let mut checked = 0;
    for path in files(&root().join("deploy"), "yaml") {
        for layout in ["kappa", "lambda"] {
            let mut river = River::new(&path, data.path()).layout(layout);
            for (_, variable) in NEEDS {
                let ads = if variable == "YSB_ADS" { "ads.csv" } else { "" };
                river = river.env(variable, data.path().join(ads).display());
            }
            river.finish("validate", &[]).ok(&path.display().to_string());
            let plan = river.finish("plan", &[]).ok(&path.display().to_string());
            assert!(plan.contains(layout), "{}: {plan}", path.display());
        }
        checked += 1;
    }
    assert!(checked >= 7, "only {checked} deployments were found");
}

#[test]
fn a_deployment_says_what_to_set() {
    for (name, variable) in NEEDS {
        let river = River::new(format!("deploy/{name}.yaml"), Path::new("/nowhere"));
        let mut command = river.command("validate", &[]);
        let said = command.env_remove(variable).output().expect("the binary starts");
        assert_eq!(said.status.code(), Some(2), "{name} without {variable}");
        let message = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(message.contains(variable), "{name} does not name {variable}: {message}");
    }
}

#[test]
fn the_schema_is_json_and_knows_the_keys() {
    let river = River::new("deploy/quickstart.yaml", Path::new("/nowhere"));
    let schema = std::process::Command::new(crate::braid::binary()).arg("schema").output().expect("the binary starts");
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    let text = schema.to_string();
    for key in ["sources", "views", "starting_offsets", "max_files_per_trigger", "on_bad_record"] {
        assert!(text.contains(key), "{key} is not in the schema");
    }
    river.finish("validate", &[]).ok("the quickstart");
}
