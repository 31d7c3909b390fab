//! The components that are kept in the repository: each is what its source builds to.

use braid_spec::model::Grants;
use braid_wasm_host::Plugin;

use crate::support::{LIMITS, built, cache, plugins, run_build};

/// What a kept component cannot do without.
fn grants(name: &str) -> Grants {
    let http = (name == "notify").then(|| "http://127.0.0.1:1".to_owned());
    Grants { http: http.into_iter().collect(), ..Grants::default() }
}

/// A kept component.
pub fn load(name: &str) -> Plugin {
    let path = plugins().join(format!("{name}/{name}.wasm"));
    Plugin::load(name, &path, LIMITS, &grants(name), Some(&cache())).expect("the kept component loads")
}

/// The same, built from source, after a look at the digests that are kept beside it.
pub fn rebuilt(name: &str) -> Plugin {
    let digests = std::fs::read_to_string(plugins().join(format!("{name}/{name}.wasm.digest")));
    let digests = digests.expect("the digest is kept beside the component");
    let [sources, component, compiler] = *digests.lines().collect::<Vec<_>>() else {
        panic!("three lines: the sources, the component, the compiler");
    };
    let again = format!("run `plugins/build {name}` and commit what it writes");
    assert_eq!(sources, format!("sources {}", run_build(&["--sources", name])), "the sources have changed: {again}");
    assert_eq!(
        component,
        format!("component {}", load(name).digest()),
        "the component is not the one that was built: {again}"
    );
    let rebuilt = &built(name)[name];
    let rebuilt = Plugin::from_bytes("rebuilt", rebuilt, LIMITS, &grants(name), None).expect("it loads");
    if compiler == run_build(&["--toolchain"]) {
        assert_eq!(rebuilt.digest(), load(name).digest(), "the same compiler gives the same bytes: {again}");
    }
    rebuilt
}
