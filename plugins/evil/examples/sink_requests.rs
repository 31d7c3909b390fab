//! Asks for whatever URL a row says, without asking first whether it may. An answer other than 200 is an error.

use braid_guest::http::{Request, granted};
use braid_guest::{Epoch, Foreach, Promise, Row, Setting};

struct Requests;

impl Foreach for Requests {
    /// Sends already where it must not, if it is told to.
    fn describe(setting: &Setting) -> Result<Promise, String> {
        if let Some(url) = setting.option("early") {
            Request::get(url).send()?;
        }
        setting.option("asks").map_or(Ok(()), granted)?;
        Ok(Promise { idempotent: setting.option("idempotent").is_some() })
    }

    /// An epoch that it is told of is known to be done.
    fn open(setting: &Setting, epoch: &Epoch) -> Result<Option<Self>, String> {
        let done = setting.option("done").is_some_and(|done| done == epoch.number.to_string());
        Ok((!done).then_some(Self))
    }

    fn process(&mut self, row: Row<'_>) -> Result<(), String> {
        let url = row.text("note")?.unwrap_or_default();
        let (url, header) = url.split_once('|').unwrap_or((url, ""));
        let mut request = Request::get(url);
        if let Some((name, value)) = header.split_once('=') {
            request = request.header(name, value);
        }
        let response = request.send()?;
        match response.status {
            200 => Ok(()),
            status => Err(format!("status {status}")),
        }
    }

    fn close(self, error: Option<&str>) -> Result<(), String> {
        match error {
            Some(_) => Err("closed after an error".into()),
            None => Ok(()),
        }
    }
}

braid_guest::foreach!(Requests);
