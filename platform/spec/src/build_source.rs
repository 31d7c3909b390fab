//! Right values made into the kinds of sources, with the checks that need one source only.

use crate::build::Builder;
use crate::model::{CleanSource, Files, Http, Rate, RateMicroBatch, Socket, SourceKind};
use crate::value::Fields;

impl Builder<'_> {
    pub(crate) fn source_kind(&mut self, fields: &Fields) -> SourceKind {
        let part = |name: &str| fields.fields(name).cloned().unwrap_or_default();
        if fields.has("files") {
            SourceKind::Files(self.files(&part("files")))
        } else if fields.has("kafka") {
            SourceKind::Kafka(self.kafka(&part("kafka")))
        } else if fields.has("socket") {
            let socket = part("socket");
            SourceKind::Socket(Socket {
                host: socket.text("host"),
                // The table of keys bounds it.
                port: u16::try_from(socket.whole("port")).unwrap_or_default(),
            })
        } else if fields.has("http") {
            SourceKind::Http(Http { body_bytes_max: part("http").whole("max_body") })
        } else if fields.has("rate_micro_batch") {
            let rate = part("rate_micro_batch");
            SourceKind::RateMicroBatch(RateMicroBatch {
                rows_per_batch: rate.whole("rows_per_batch"),
                num_partitions: rate.whole("num_partitions"),
                start_timestamp: rate.whole("start_timestamp"),
                advance_millis_per_batch: rate.whole("advance_millis_per_batch"),
            })
        } else {
            let rate = part("rate");
            SourceKind::Rate(Rate {
                rows_per_second: rate.whole("rows_per_second"),
                ramp_up_time: rate.duration("ramp_up_time"),
                num_partitions: rate.whole("num_partitions"),
                rows_max: rate.whole_maybe("rows_max"),
            })
        }
    }

    fn files(&mut self, fields: &Fields) -> Files {
        if fields.has("max_files_per_trigger") && fields.has("max_bytes_per_trigger") {
            let path = fields.path_of("max_bytes_per_trigger");
            let message = "`max_files_per_trigger` and `max_bytes_per_trigger` exclude each other";
            self.mistakes.push(self.map.at_key(&path, message).hint(Some("remove one of the two")));
        }
        let archive = fields.text_maybe("source_archive_dir");
        let clean_source = match fields.text("clean_source").as_str() {
            "archive" => CleanSource::Archive(self.archive_dir(fields, archive)),
            other => {
                if archive.is_some() && !fields.is_bad("clean_source") {
                    let path = fields.path_of("source_archive_dir");
                    let message = format!("nothing is archived with `clean_source: {other}`");
                    let hint = "say `clean_source: archive`, or remove it";
                    self.mistakes.push(self.map.at_key(&path, message).hint(Some(hint)));
                }
                if other == "delete" { CleanSource::Delete } else { CleanSource::Off }
            }
        };
        Files {
            path: fields.text("path"),
            max_files_per_trigger: fields.whole_maybe("max_files_per_trigger"),
            max_bytes_per_trigger: fields.whole_maybe("max_bytes_per_trigger"),
            latest_first: fields.flag("latest_first"),
            max_file_age: fields.duration("max_file_age"),
            clean_source,
        }
    }

    /// Where files are moved, checked: a move does not leave its file system or bucket, nor end where it began.
    fn archive_dir(&mut self, fields: &Fields, archive: Option<String>) -> String {
        let Some(archive) = archive else {
            if !fields.has("source_archive_dir") {
                let path = fields.path_of("clean_source");
                let mistake = self.map.at_value(&path, "`clean_source: archive` does not say where to");
                self.mistakes.push(mistake.expected("`source_archive_dir`: a folder beside `path`"));
            }
            return String::new();
        };
        let (of, to) = (home(&fields.text("path")).to_owned(), home(&archive).to_owned());
        let problem = if fields.text_maybe("path").is_some() && of != to {
            "files cannot be moved there: it is not where `path` is"
        } else if archive.trim_start_matches("file://").trim_matches('/').is_empty() {
            "files cannot be moved there: each keeps its whole path, and so would stay"
        } else {
            return archive;
        };
        let expected = match of.as_str() {
            "" => "a local folder".to_owned(),
            home => format!("a folder in {home}"),
        };
        self.wrong(&fields.path_of("source_archive_dir"), problem, Some(expected), None);
        archive
    }
}

/// The file system or bucket of a path: `s3://bucket`, or nothing for a local one.
fn home(path: &str) -> &str {
    match path.split_once("://") {
        None | Some(("file", _)) => "",
        Some((scheme, rest)) => &path[..scheme.len() + 3 + rest.find('/').unwrap_or(rest.len())],
    }
}
