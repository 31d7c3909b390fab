//! Takes the person out of an IP address: of IPv4 the last octet becomes 0, of IPv6 the first 48 bits stay.

use std::net::Ipv6Addr;

use braid_guest::{Batch, Schema, Transform, Type, VarBuilder};

/// The columns looked for, in this order.
const COLUMNS: [&str; 2] = ["ip", "ip_address"];

/// Of IPv6, the network that a provider gives to a customer's site.
const IPV6_SEGMENTS_KEPT: usize = 3;

struct Anonymise;

impl Transform for Anonymise {
    fn describe(input: Schema) -> Result<Schema, String> {
        let name = COLUMNS.iter().find(|name| input.field(name).is_some());
        input.require(name.unwrap_or(&COLUMNS[0]), Type::Utf8)?;
        Ok(input)
    }

    fn apply(mut batch: Batch) -> Result<Batch, String> {
        let name = COLUMNS.into_iter().find(|name| batch.column(name).is_ok()).ok_or("there is no address column")?;
        let room = batch.column(name)?.values.len();
        let mut addresses = VarBuilder::with_capacity(batch.rows, room);
        let mut keep = vec![true; batch.rows];
        for (row, address) in batch.utf8(name)?.iter_bytes().enumerate() {
            match address {
                None => addresses.push(None::<&[u8]>),
                Some(address) => {
                    if let Some(network) = ipv4_network(address) {
                        addresses.push_parts(&[network, b"0"]);
                    } else if let Some(network) = ipv6_network(address) {
                        addresses.push(Some(network.to_string()));
                    } else {
                        // What cannot be read cannot be made anonymous: it must not pass, nor be kept with the dead letters.
                        keep[row] = false;
                        addresses.push(None::<&[u8]>);
                    }
                }
            }
        }
        batch.set(addresses.finish(name, Type::Utf8));
        Ok(batch.filter(&keep))
    }
}

braid_guest::transform!(Anonymise);

/// An IPv4 address without its last octet: `192.0.2.` of `192.0.2.7`.
fn ipv4_network(address: &[u8]) -> Option<&[u8]> {
    let (mut dots, mut digits, mut octet, mut network) = (0, 0, 0u32, 0);
    for (position, byte) in address.iter().enumerate() {
        match byte {
            // A number does not begin with 0: to some programs 010 is ten, to others eight.
            b'0'..=b'9' if digits == 0 || octet > 0 => {
                octet = octet * 10 + u32::from(byte - b'0');
                digits += 1;
                if octet > 255 {
                    return None;
                }
            }
            b'.' if digits > 0 => {
                (dots, digits, octet, network) = (dots + 1, 0, 0, position + 1);
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0).then(|| &address[..network])
}

fn ipv6_network(address: &[u8]) -> Option<Ipv6Addr> {
    let address: Ipv6Addr = str::from_utf8(address).ok()?.parse().ok()?;
    let mut segments = address.segments();
    segments[IPV6_SEGMENTS_KEPT..].fill(0);
    Some(segments.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use braid_guest::{Column, Field};

    fn apply(name: &str, addresses: &[Option<&str>]) -> Batch {
        let count = addresses.len() as i64;
        Anonymise::apply(Batch {
            rows: addresses.len(),
            columns: vec![
                Column::fixed("row", Type::Int64, (0..count).map(Some)),
                Column::utf8(name, addresses.iter().copied()),
            ],
        })
        .expect("the column is there")
    }

    #[test]
    fn the_last_octet_and_the_site_are_taken() {
        for name in COLUMNS {
            let out = apply(name, &[Some("192.0.2.7"), Some("10.0.0.255"), None, Some("2001:db8:7:8::1"), Some("::1")]);
            let addresses: Vec<_> = out.utf8(name).expect("text").iter().collect();
            assert_eq!(addresses, [Some("192.0.2.0"), Some("10.0.0.0"), None, Some("2001:db8:7::"), Some("::")]);
        }
    }

    #[test]
    fn what_is_no_address_does_not_pass() {
        let out = apply(
            "ip",
            &[
                Some("192.0.2.256"),
                Some("192.0.2"),
                Some("1.2.3.4"),
                Some(""),
                Some("Ada, 1.2.3.4"),
                Some("1..2.3"),
                Some("1.2.3."),
                Some("01.2.3.4"),
                Some("0.0.0.00"),
                Some("0.10.0.100"),
                Some("255.255.255.255"),
            ],
        );
        let rows: Vec<_> = out.int64("row").expect("numbers").iter().collect();
        assert_eq!(rows, [Some(2), Some(9), Some(10)]);
        let addresses: Vec<_> = out.utf8("ip").expect("text").iter().collect();
        assert_eq!(addresses, [Some("1.2.3.0"), Some("0.10.0.0"), Some("255.255.255.0")]);
    }

    #[test]
    fn an_address_column_is_needed() {
        let schema = |name: &str, data_type| Schema { fields: vec![Field { name: name.into(), data_type }] };
        let good = schema("ip_address", Type::Utf8);
        assert_eq!(Anonymise::describe(good.clone()), Ok(good));
        assert_eq!(
            Anonymise::describe(schema("address", Type::Utf8)),
            Err("needs a column `ip` of type string; there are: address".into())
        );
        assert_eq!(
            Anonymise::describe(schema("ip", Type::Int64)),
            Err("column `ip` is long, and should be string".into())
        );
    }
}
