//! Posts each row as JSON, with a key by which the service can drop what it has seen.

use braid_guest::http::{Request, granted};
use braid_guest::{Epoch, Foreach, Promise, Row, Setting};

struct Post {
    url: String,
    epoch: String,
}

impl Foreach for Post {
    /// Asked once, when a deployment is planned: will these options do, and what does the sink promise?
    fn describe(setting: &Setting) -> Result<Promise, String> {
        setting.only(&["url"])?;
        granted(setting.require("url")?)?;
        Ok(Promise { idempotent: false })
    }

    /// An epoch with rows begins. After a crash or an error it comes again, with the same number and the same rows.
    fn open(setting: &Setting, epoch: &Epoch) -> Result<Option<Self>, String> {
        Ok(Some(Self { url: setting.require("url")?.into(), epoch: epoch.to_string() }))
    }

    fn process(&mut self, row: Row<'_>) -> Result<(), String> {
        let request = Request::post(&self.url).header("content-type", "application/json").header("braid-epoch", &self.epoch);
        match request.body(row.json()).send()?.status {
            200..300 => Ok(()),
            status => Err(format!("the service answers {status}")),
        }
    }
}

braid_guest::foreach!(Post);
