//! `componentize <core module> <component>`: the last step of `plugins/build`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        eprintln!("usage: componentize <core module> <component>");
        return ExitCode::from(2);
    };
    let outcome = std::fs::read(from)
        .map_err(|error| format!("{from}: {error}"))
        .and_then(|module| braid_wire::componentize(&module).map_err(|error| format!("{from}: {error}")))
        .and_then(|component| std::fs::write(to, component).map_err(|error| format!("{to}: {error}")));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
