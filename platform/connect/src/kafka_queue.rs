//! Records of one partition, or of several, as librdkafka hands them over: many at a time, borrowed, and with the offsets of its notices.
//!
//! The safe consumer gives one record per call: measured in C on a busy machine, that took a fifth to a third more
//! processor time per record, even before the safe wrapper's own cost. And of "the end was reached" it says no offset,
//! without which a range that ends in compacted records has no recognisable end.
#![expect(unsafe_code, reason = "librdkafka's batch interface is C; this file is all that touches it")]

use std::ffi::{CStr, CString};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::Watch;

/// How many records are taken from librdkafka at a time.
const TAKE_RECORDS_MAX: usize = 1024;

/// The queue of one partition of a consumer, or of some, split from the consumer's own queue.
pub(crate) struct Queue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// Taken from the queue, ours to free. Those before `at` were seen.
    taken: Vec<*mut native::rd_kafka_message_t>,
    at: usize,
    /// The highest offset of a notice so far.
    noticed: i64,
    /// Declared last: it outlives the queue and the records.
    consumer: Arc<BaseConsumer<Watch>>,
}

// SAFETY: librdkafka's objects may be used from any thread, and the records that `taken` points to belong to this alone.
unsafe impl Send for Queue {}

/// Where an event is from.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a>(&'a native::rd_kafka_message_t);

impl<'a> Place<'a> {
    /// The same for all events of a partition, as long as the consumer lives.
    pub(crate) fn key(self) -> (usize, i32) {
        (self.0.rkt as usize, self.0.partition)
    }

    /// Topic and number.
    pub(crate) fn partition(self) -> (&'a str, i32) {
        if self.0.rkt.is_null() {
            return ("", self.0.partition);
        }
        // SAFETY: a message keeps its topic alive, and a topic its name, which is a C string.
        let topic = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.0.rkt)) };
        (topic.to_str().unwrap_or_default(), self.0.partition)
    }
}

/// What a partition's queue holds.
pub(crate) enum Event<'a> {
    Record(Record<'a>),
    /// There was nothing beyond this offset.
    End(i64),
    /// The partition cannot be read at this offset.
    Failed {
        code: RDKafkaErrorCode,
        reason: String,
    },
}

/// One record, borrowed from librdkafka's buffer.
pub(crate) struct Record<'a> {
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    message: &'a native::rd_kafka_message_t,
}

impl Record<'_> {
    /// Its timestamp in milliseconds since the Unix epoch, if it has one, and of which type: Spark's −1 for none, 0 for
    /// when it was made, 1 for when the broker took it.
    pub(crate) fn timestamp(&self) -> (Option<i64>, i32) {
        use native::rd_kafka_timestamp_type_t as Type;
        let mut kind = Type::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive as long as the record is.
        let millis = unsafe { native::rd_kafka_message_timestamp(self.message, &mut kind) };
        match kind {
            Type::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => (None, -1),
            Type::RD_KAFKA_TIMESTAMP_CREATE_TIME => (Some(millis), 0),
            Type::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => (Some(millis), 1),
        }
    }

    /// Its headers, one after the other.
    pub(crate) fn headers(&self, mut see: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = null_mut();
        // SAFETY: the message is alive as long as the record is; its headers stay its own.
        let found = unsafe { native::rd_kafka_message_headers(self.message, &mut headers) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut length) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: the headers are those above; the name is a C string that lives as long as they do.
            let name = unsafe {
                let found = native::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut length);
                if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                    return;
                }
                CStr::from_ptr(name)
            };
            see(&name.to_string_lossy(), bytes(value.cast(), length));
        }
    }
}

impl Queue {
    /// Splits the partition's queue from the consumer's. `None` where the name cannot be a topic.
    pub(crate) fn split(consumer: &Arc<BaseConsumer<Watch>>, topic: &str, partition: i32) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client and the text are alive; forwarding to null is how a queue is split.
        let queue = unsafe {
            let queue = NonNull::new(native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition))?;
            native::rd_kafka_queue_forward(queue.as_ptr(), null_mut());
            queue
        };
        Some(Self { queue, taken: Vec::new(), at: 0, noticed: -1, consumer: consumer.clone() })
    }

    /// A queue of no partition.
    pub(crate) fn shared(consumer: &Arc<BaseConsumer<Watch>>) -> Option<Self> {
        // SAFETY: the client is alive, and outlives the queue.
        let queue = NonNull::new(unsafe { native::rd_kafka_queue_new(consumer.client().native_ptr()) })?;
        Some(Self { queue, taken: Vec::new(), at: 0, noticed: -1, consumer: consumer.clone() })
    }

    /// Takes in a partition's queue. `None` where the name cannot be a topic.
    pub(crate) fn join(&mut self, topic: &str, partition: i32) -> Option<()> {
        let topic = CString::new(topic).ok()?;
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client, the text and this queue are alive; the handle of the partition's queue is let go of, and
        // what is forwarded keeps both queues.
        unsafe {
            let queue = NonNull::new(native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition))?;
            native::rd_kafka_queue_forward(queue.as_ptr(), self.queue.as_ptr());
            native::rd_kafka_queue_destroy(queue.as_ptr());
        }
        Some(())
    }

    /// Calls `see` with what is there, until it answers `false`: then that event is seen again the next time.
    pub(crate) fn see(&mut self, mut see: impl FnMut(Event<'_>) -> bool) {
        while let Some(message) = self.taken.get(self.at) {
            // SAFETY: librdkafka gave us the message, and it is freed only in `free`.
            let message = unsafe { &**message };
            if !see(event(message)) {
                return;
            }
            if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                self.noticed = self.noticed.max(message.offset);
            }
            self.at += 1;
        }
    }

    /// All that was taken, in any order and as often as it is wanted.
    pub(crate) fn events(&self) -> impl ExactSizeIterator<Item = (Place<'_>, Event<'_>)> {
        // SAFETY: as above, and `self` is borrowed for as long.
        self.taken.iter().map(|message| unsafe { &**message }).map(|message| (Place(message), event(message)))
    }

    /// Of all that was taken, this one.
    pub(crate) fn event(&self, index: usize) -> Option<Event<'_>> {
        // SAFETY: as above.
        self.taken.get(index).map(|message| event(unsafe { &**message }))
    }

    /// All that was taken has been seen.
    pub(crate) fn seen(&mut self) {
        self.at = self.taken.len();
    }

    /// Takes from librdkafka what it has fetched, once all that was taken has been seen. Waits at most so long for the
    /// first record. Says whether there is anything to see.
    pub(crate) fn take(&mut self, wait: Duration) -> bool {
        if self.at < self.taken.len() {
            return true;
        }
        self.free();
        if wait.is_zero() {
            self.fetch(TAKE_RECORDS_MAX, 0);
        } else {
            // It waits until all that is asked for is there: so for one, and then for what came with it.
            self.fetch(1, i32::try_from(wait.as_millis()).unwrap_or(i32::MAX));
            if !self.taken.is_empty() {
                self.fetch(TAKE_RECORDS_MAX - 1, 0);
            }
        }
        !self.taken.is_empty()
    }

    fn fetch(&mut self, records_max: usize, wait_ms: i32) {
        let before = self.taken.len();
        self.taken.reserve(records_max);
        // SAFETY: there is room for `records_max` pointers behind the first `before`, and librdkafka says how many it wrote.
        unsafe {
            let room = self.taken.as_mut_ptr().add(before);
            let got = native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait_ms, room, records_max);
            self.taken.set_len(before + usize::try_from(got).unwrap_or(0));
        }
    }

    fn free(&mut self) {
        for message in self.taken.drain(..) {
            // SAFETY: it is ours, and nothing borrows it: `see` has returned.
            unsafe { native::rd_kafka_message_destroy(message) };
        }
        self.at = 0;
    }

    /// The offset behind what was taken and seen, transaction markers included; `None` where that is not known.
    ///
    /// librdkafka counts a notice as if it were a record: behind "the end is at 5" it stands at 6, though the record at
    /// 5 is still to come. A position that a notice explains says nothing.
    pub(crate) fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        match positions.find_partition(topic, partition)?.offset() {
            rdkafka::Offset::Offset(offset) if offset > self.noticed + 1 => Some(offset),
            _ => None,
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.free();
        // SAFETY: it is ours, and the consumer outlives it.
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

fn event(message: &native::rd_kafka_message_t) -> Event<'_> {
    match message.err {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Event::Record(Record {
            offset: message.offset,
            key: bytes(message.key.cast(), message.key_len),
            value: bytes(message.payload.cast(), message.len),
            message,
        }),
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Event::End(message.offset),
        code => {
            // SAFETY: librdkafka gives a text for each error of a message.
            let reason = unsafe { native::rd_kafka_message_errstr(message) };
            let reason = if reason.is_null() {
                String::new()
            } else {
                // SAFETY: it is a C string that lives as long as the message.
                unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned()
            };
            Event::Failed { code: code.into(), reason }
        }
    }
}

/// A null value has a null pointer; an empty one has not.
fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka's message has so many bytes there, for as long as it lives; callers bind `'a` to it.
    NonNull::new(start.cast_mut()).map(|start| unsafe { std::slice::from_raw_parts(start.as_ptr(), length) })
}
