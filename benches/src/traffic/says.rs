//! What is said: the bytes of the application protocols, as far as a program that looks into them would notice.
//! Where a message goes on in bytes that nobody reads (pixels, ciphertext, a file), only their number is given.

use super::dice::Dice;

/// A message of one side.
#[derive(Debug)]
pub struct Message {
    /// 0 for who began the conversation, 1 for the other.
    pub from: usize,
    /// What it says.
    pub bytes: Vec<u8>,
    /// Bytes that follow and mean nothing.
    pub fill: usize,
    /// Whether the sender waits after it, so that the next message opens a packet of its own.
    pub last: bool,
}

/// A message after which its sender waits.
pub fn message(from: usize, bytes: impl Into<Vec<u8>>, fill: u32) -> Message {
    Message { from, bytes: bytes.into(), fill: fill as usize, last: true }
}

/// A DICOM item: type, a reserved byte, length, value (PS3.8 §9.3).
pub fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let [upper, lower] = (value.len() as u16).to_be_bytes();
    [&[kind, 0, upper, lower], value].concat()
}

const CT_IMAGE: &[u8] = b"1.2.840.10008.5.1.4.1.1.2";

/// An association for CT images is asked for and accepted.
pub fn associate(calling: &str, called: &str) -> [Message; 2] {
    let title = |name: &str| format!("{name:<16.16}").into_bytes();
    [false, true].map(|accepted| {
        let mut context = vec![1, 0, 0, 0];
        if !accepted {
            context.extend(item(0x30, CT_IMAGE));
        }
        context.extend(item(0x40, b"1.2.840.10008.1.2.1"));
        let user = [
            item(0x51, &16_384_u32.to_be_bytes()),
            item(0x52, b"1.2.276.0.7230010.3.0.3.6.7"),
            item(0x55, b"OFFIS_DCMTK_367"),
        ];
        let body = [
            vec![0, 1, 0, 0],
            title(called),
            title(calling),
            vec![0; 32],
            item(0x10, b"1.2.840.10008.3.1.1.1"),
            item(if accepted { 0x21 } else { 0x20 }, &context),
            item(0x50, &user.concat()),
        ]
        .concat();
        let kind = if accepted { 2 } else { 1 };
        let pdu = [&[kind, 0], &(body.len() as u32).to_be_bytes()[..], &body].concat();
        message(accepted.into(), pdu, 0)
    })
}

/// The header of a P-DATA PDU with one value of `length` bytes.
pub fn data_pdu(is_command: bool, is_last: bool, length: usize) -> Vec<u8> {
    let length = length as u32;
    let control = u8::from(is_command) | u8::from(is_last) << 1;
    [&[4, 0][..], &(length + 6).to_be_bytes(), &(length + 2).to_be_bytes(), &[1, control]].concat()
}

/// A command set, implicit little endian, in a PDU of its own (PS3.7 §6.3.1).
pub fn command(elements: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (element, value) in elements {
        body.extend([0, 0]);
        body.extend(element.to_le_bytes());
        body.extend((value.len() as u32).to_le_bytes());
        body.extend(*value);
    }
    let head = [&[0, 0, 0, 0, 4, 0, 0, 0][..], &(body.len() as u32).to_le_bytes()].concat();
    [data_pdu(true, true, head.len() + body.len()), head, body].concat()
}

/// An explicit little endian element with a short length.
pub fn element(group: u16, number: u16, kind: &[u8; 2], text: &str) -> Vec<u8> {
    let mut value = text.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(if kind == b"UI" { 0 } else { b' ' });
    }
    let place = [group.to_le_bytes(), number.to_le_bytes(), *kind, (value.len() as u16).to_le_bytes()];
    [place.concat(), value].concat()
}

/// An image of about `size` bytes is stored: the command, what made it and whose it is, pixels in PDUs of 16 kB, and the
/// answer.
pub fn store(station: &str, serial: u32, number: u32, size: u32) -> Vec<Message> {
    const PDU: usize = 16_384 - 6;
    let mut instance = format!("1.2.840.113619.2.55.3.{serial}.{number}").into_bytes();
    if instance.len() % 2 == 1 {
        instance.push(0);
    }
    let class = [CT_IMAGE, &[0]].concat();
    let id = (number as u16).to_le_bytes();
    let request = command(&[
        (0x0002, &class),
        (0x0100, &[1, 0]),
        (0x0110, &id),
        (0x0700, &[0, 0]),
        (0x0800, &[1, 1]),
        (0x1000, &instance),
    ]);
    let answer = command(&[
        (0x0002, &class),
        (0x0100, &[1, 0x80]),
        (0x0120, &id),
        (0x0800, &[1, 1]),
        (0x0900, &[0, 0]),
        (0x1000, &instance),
    ]);
    let head = [
        element(0x0008, 0x0016, b"UI", "1.2.840.10008.5.1.4.1.1.2"),
        element(0x0008, 0x0018, b"UI", &format!("1.2.840.113619.2.55.3.{serial}.{number}")),
        element(0x0008, 0x0060, b"CS", "CT"),
        element(0x0008, 0x0070, b"LO", "GE MEDICAL SYSTEMS"),
        element(0x0008, 0x1010, b"SH", station),
        element(0x0008, 0x1090, b"LO", "Revolution EVO"),
        element(0x0010, 0x0010, b"PN", "CANARY^PATIENT"),
        element(0x0018, 0x1000, b"LO", &format!("SN{serial:08}")),
        element(0x0018, 0x1020, b"LO", "revo_ct_22bc.50"),
    ]
    .concat();
    let pixels = [&[0xe0, 0x7f, 0x10, 0, b'O', b'W', 0, 0][..], &size.to_le_bytes()].concat();
    let mut out = vec![Message { from: 0, bytes: request, fill: 0, last: false }];
    let (mut first, mut left) = ([head, pixels].concat(), size as usize);
    while left > 0 {
        let fill = left.min(PDU - first.len());
        left -= fill;
        let mut bytes = data_pdu(false, left == 0, first.len() + fill);
        bytes.append(&mut first);
        out.push(Message { from: 0, bytes, fill, last: left == 0 });
    }
    out.push(message(1, answer, 0));
    out
}

/// The association is released.
pub fn release() -> [Message; 2] {
    [5, 6].map(|kind| message(usize::from(kind == 6), [kind, 0, 0, 0, 0, 4, 0, 0, 0, 0], 0))
}

/// Results of a monitor and their acknowledgement, over MLLP.
pub fn results(sender: u32, number: u32, values: u32, dice: &mut Dice) -> [Message; 2] {
    let (unit, second) = (sender % 500, number % 60);
    let mut text = format!(
        "\x0bMSH|^~\\&|MON{unit}|ICU|HIE|HOSP|202603010800{second:02}||ORU^R01|{sender}-{number}|P|2.5.1\r"
    );
    if values > 0 {
        text += &format!(
            "PID|1||{}^^^MRN||CANARY^PATIENT||19010203|U\rOBR|1|||VITALS\r",
            100_000 + sender % 90_000
        );
    }
    for n in 1..=values {
        let (code, value) = (149_514 + n, dice.between(40, 160));
        text += &format!("OBX|{n}|NM|{code}^VITAL^MDC||{value}|/min|||||F\r");
    }
    text += "\x1c\r";
    let ack = format!(
        "\x0bMSH|^~\\&|HIE|HOSP|MON{unit}|ICU|202603010800{second:02}||ACK^R01|A{number}|P|2.5.1\rMSA|AA|{sender}-{number}\r\x1c\r"
    );
    [message(0, text, 0), message(1, ack, 0)]
}

fn record(kind: u8, length: u32) -> [u8; 5] {
    let [.., upper, lower] = length.to_be_bytes();
    [kind, 3, 3, upper, lower]
}

/// A TLS 1.2 handshake's first flights; the server's certificates are `certificates` bytes.
pub fn hello(server: &str, certificates: u32, dice: &mut Dice) -> Vec<Message> {
    let name = server.as_bytes();
    let length = |more: usize| ((name.len() + more) as u16).to_be_bytes();
    let random = |dice: &mut Dice| [(); 4].map(|()| dice.roll().to_be_bytes()).concat();
    let extensions = [
        &[0, 0][..],
        &length(5),
        &length(3),
        &[0],
        &length(0),
        name,
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &random(dice),
        &[0, 0, 8, 0xc0, 0x2f, 0xc0, 0x30, 0xc0, 0x2b, 0, 0x9c, 1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    let handshake = |kind: u8, body: &[u8], fill: u32| {
        let size = body.len() as u32 + fill;
        [&record(22, size + 4)[..], &[kind], &size.to_be_bytes()[1..], body].concat()
    };
    let chosen = [&[3, 3][..], &random(dice), &[0, 0xc0, 0x2f, 0, 0, 0]].concat();
    let mut answer = handshake(2, &chosen, 0);
    answer.extend(handshake(11, &[], certificates));
    let keys = [handshake(16, &[], 66), vec![0; 66], vec![20, 3, 3, 0, 1, 1], record(22, 40).to_vec()];
    let done = [&[20, 3, 3, 0, 1, 1][..], &record(22, 40)].concat();
    vec![
        message(0, handshake(1, &body, 0), 0),
        message(1, answer, certificates),
        message(0, keys.concat(), 40),
        message(1, done, 40),
    ]
}

/// `length` bytes of ciphertext, in records of 16 kB.
pub fn sealed(from: usize, mut length: u32) -> Vec<Message> {
    let mut out = Vec::new();
    while length > 0 {
        let fill = length.min(16_384);
        length -= fill;
        let bytes = record(23, fill).to_vec();
        out.push(Message { from, bytes, fill: fill as usize, last: length == 0 });
    }
    out
}

/// A page of `length` bytes.
pub fn page(number: u32, length: u32) -> [Message; 2] {
    let ask = format!(
        "GET /api/v1/item/{} HTTP/1.1\r\nHost: web.hospital.example\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; \
         x64) AppleWebKit/537.36\r\nAccept: */*\r\n\r\n",
        number % 10_000
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    );
    [message(0, ask, 0), message(1, answer, length)]
}

/// An SMB 2 message in its frame; `fill` bytes of a file follow.
fn smb(from: usize, what: u16, number: u64, body: &[u8], fill: u32) -> Message {
    let length = 64 + body.len() as u32 + fill;
    let mut bytes = [&length.to_be_bytes()[..], b"\xfeSMB", &[64, 0, 1, 0, 0, 0, 0, 0]].concat();
    bytes.extend(what.to_le_bytes());
    bytes.extend([1, 0, from as u8, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(number.to_le_bytes());
    bytes.resize(4 + 64, 0);
    bytes.extend(body);
    message(from, bytes, fill)
}

/// Dialects are agreed on.
pub fn negotiate() -> [Message; 2] {
    let ask = [&[36, 0, 2, 0, 1, 0, 0, 0, 0x7f, 0, 0, 0][..], &[7; 16], &[0; 8], &[2, 2, 0, 3]].concat();
    let answer = [&[65, 0, 1, 0, 0, 3, 0, 0][..], &[9; 16], &[0; 40]].concat();
    [smb(0, 0, 0, &ask, 0), smb(1, 0, 0, &answer, 0)]
}

/// A part of a file is read.
pub fn read_file(number: u32, length: u32) -> [Message; 2] {
    let mut ask = vec![49, 0, 0x50, 0];
    ask.extend(length.to_le_bytes());
    ask.resize(49, 0);
    let mut answer = vec![17, 0, 80, 0];
    answer.extend(length.to_le_bytes());
    answer.extend([0; 8]);
    [smb(0, 8, number.into(), &ask, 0), smb(1, 8, number.into(), &answer, length)]
}

/// A name as DNS writes it.
pub fn dns_name(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

/// A name is looked up.
pub fn lookup(dice: &mut Dice) -> [Message; 2] {
    const HOSTS: [&str; 8] = ["www", "ehr", "pacs", "ldap", "update", "mail", "time", "api"];
    const ZONES: [&str; 5] = ["corp", "rad", "icu", "lab", "er"];
    let pick = |dice: &mut Dice, list: &[&'static str]| list[dice.below(list.len() as u32) as usize];
    let name = format!("{}.{}.hospital.example", pick(dice, &HOSTS), pick(dice, &ZONES));
    let id = (dice.roll() as u16).to_be_bytes();
    let question = [dns_name(&name), vec![0, 1, 0, 1]].concat();
    let ask = [&id[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &question].concat();
    let address = [10, 20, 2, dice.below(60) as u8];
    let answer = [
        &id[..],
        &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0],
        &question,
        &[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4],
        &address,
    ]
    .concat();
    [message(0, ask, 0), message(1, answer, 0)]
}

/// A device is asked how long it has been up, by SNMP.
pub fn uptime(number: u32) -> [Message; 2] {
    let tagged =
        |tag: u8, parts: &[&[u8]]| [&[tag, parts.concat().len() as u8], &parts.concat()[..]].concat();
    [(0, 0xa0, &[5, 0][..]), (1, 0xa2, &[0x43, 4, 0, 0x12, 0x34, 0x56])].map(|(from, pdu, value)| {
        let binding = tagged(0x30, &[&[6, 8, 0x2b, 6, 1, 2, 1, 1, 3, 0], value]);
        let id = tagged(2, &[&(number & 0x7fff_ffff).to_be_bytes()]);
        let body = tagged(pdu, &[&id, &[2, 1, 0, 2, 1, 0], &tagged(0x30, &[&binding])]);
        message(from, tagged(0x30, &[&[2, 1, 1, 4, 6], b"public", &body]), 0)
    })
}

/// The time is asked for.
pub fn time(dice: &mut Dice) -> [Message; 2] {
    [(0, 0x23), (1, 0x24)].map(|(from, first)| {
        let mut bytes = vec![first, 2 * from as u8, 6, 0xec];
        bytes.resize(40, 0);
        bytes.extend_from_slice(&[0xe8]);
        bytes.extend_from_slice(&dice.roll().to_be_bytes()[1..]);
        message(from, bytes, 0)
    })
}

/// A line for the log server.
pub fn log(name: &str, number: u32) -> Message {
    message(
        0,
        format!("<134>{name} app[{}]: event {number} user=u{} result=ok", number % 9_000, number % 300),
        0,
    )
}

/// The head of a monitor's waveforms.
pub fn waveform(unit: u32, number: u32, fill: u32) -> Message {
    let words = [0x0000_0100, number, unit, fill];
    message(0, words.map(u32::to_be_bytes).concat(), fill)
}

/// A fiftieth of a second of voice (RTP).
pub fn voice(from: usize, unit: u32, number: u32, fill: u32) -> Message {
    let head =
        [[0x80, 0, (number >> 8) as u8, number as u8], (number * 160).to_be_bytes(), unit.to_be_bytes()];
    message(from, head.concat(), fill)
}
