//! What the formats allow, from bytes written by hand where our own writer would not write them.

use super::*;
use crate::write::Interface;
use crate::{Compression, Format};

const NOON: i64 = 1_772_452_800_000_000_000;

#[test]
fn classic_pcap_reads_in_both_orders_and_resolutions() {
    let frames =
        [Owned::new(1, NOON + 1_000, b"one"), Owned { orig_len: 1514, ..Owned::new(2, NOON, b"two!") }];
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for resolution in [Resolution::Micros, Resolution::Nanos] {
            assert_eq!(read(pcap(order, resolution, &frames)), (frames.to_vec(), vec![]));
        }
    }
    let fine = [Owned::new(1, NOON + 1_234, b"fine")];
    assert_eq!(read(pcap(ByteOrder::Big, Resolution::Nanos, &fine)).0[0].ts, Timestamp(NOON + 1_234));
    assert_eq!(read(pcap(ByteOrder::Big, Resolution::Micros, &fine)).0[0].ts, Timestamp(NOON + 1_000));
}

#[test]
fn header_fields_that_lie_change_nothing() {
    let mut file = pcap(ByteOrder::Little, Resolution::Micros, &[Owned::new(1, NOON, b"whole")]);
    for snap_len in [0_u32, 1, u32::MAX] {
        file[16..20].copy_from_slice(&snap_len.to_le_bytes());
        // Flags above the link type: there are four bytes of frame check sequence.
        file[20..24].copy_from_slice(&0x2400_0001_u32.to_le_bytes());
        assert_eq!(read(file.clone()), (vec![Owned::new(1, NOON, b"whole")], vec![]));
    }
    // An original length below the captured one is not one.
    file[36..40].copy_from_slice(&2_u32.to_le_bytes());
    assert_eq!(read(file).0[0].orig_len, 5);
}

#[test]
fn the_modified_format_has_longer_record_headers() {
    let mut file = 0xa1b2_cd34_u32.to_be_bytes().to_vec();
    file.extend([0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 1]);
    for text in [b"abc", b"xyz"] {
        file.extend([0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 3]);
        // Interface index, protocol, packet type, padding.
        file.extend([0, 0, 0, 2, 8, 0, 4, 0]);
        file.extend(text);
    }
    let (frames, warnings) = read(file);
    assert_eq!(frames, [Owned::new(1, 7_000_009_000, b"abc"), Owned::new(2, 7_000_009_000, b"xyz")]);
    assert!(warnings.is_empty());
}

#[test]
fn captures_joined_with_cat_read_as_both() {
    let one = [Owned::new(1, NOON, b"one"), Owned::new(2, NOON, b"")];
    let two = [Owned { link: LinkType::LINUX_SLL, source: 1, ..Owned::new(3, NOON + 5_000, b"two") }];
    let mut file = pcap(ByteOrder::Little, Resolution::Micros, &one);
    file.extend(pcap(ByteOrder::Big, Resolution::Nanos, &two));
    let (frames, warnings) = read(file);
    assert_eq!(frames, [&one[..], &two[..]].concat());
    assert!(warnings.is_empty());
}

#[test]
fn gzip_members_and_zstd_frames_follow_one_another() {
    let frames: Vec<_> = (1..=3).map(|no| Owned::new(no, NOON, b"frame")).collect();
    let file = pcap(ByteOrder::Little, Resolution::Nanos, &frames);
    let (head, tail) = file.split_at(50);
    for (compressed, compression) in [
        ([gzip(head), gzip(tail)].concat(), Compression::Gzip),
        ([zstd(head), zstd(tail)].concat(), Compression::Zstd),
        // A skippable frame of three bytes first, as parallel compressors write.
        ([b"\x50\x2a\x4d\x18\x03\0\0\0pad".to_vec(), zstd(&file)].concat(), Compression::Zstd),
    ] {
        let (read, report) = drain(timeline(vec![compressed]).unwrap());
        assert_eq!(read, frames);
        assert_eq!((report.files[0].format, report.files[0].compression), (Format::Pcap, compression));
        assert!(report.files[0].warnings.is_empty());
    }
}

#[test]
fn sections_keep_their_own_order_interfaces_and_clocks() {
    let mut writer = PcapngWriter::new(Vec::new(), ByteOrder::Little).unwrap();
    let named =
        |link, name: &str, resolution| Interface { name: name.into(), resolution, ..Interface::new(link) };
    let eth = writer.interface(&named(LinkType::ETHERNET, "eth0", 6)).unwrap();
    writer.packet(eth, Timestamp(NOON + 1_000), 9, b"first").unwrap();
    // An interface block that comes after packets, with another link type and a binary clock of 2^-8 s.
    let any = writer.interface(&named(LinkType::LINUX_SLL, "any", 0x88)).unwrap();
    writer.packet(any, Timestamp(NOON + 3_906_250), 6, b"second").unwrap();
    writer.section(ByteOrder::Big).unwrap();
    writer.interface(&named(LinkType::ETHERNET, "eth0", 9)).unwrap();
    let shifted = Interface { offset_seconds: NOON / 1_000_000_000, ..named(LinkType::RAW, "tun0", 9) };
    writer.interface(&shifted).unwrap();
    writer.packet(0, Timestamp(NOON + 7), 5, b"third").unwrap();
    writer.packet(1, Timestamp(NOON + 8), 6, b"fourth").unwrap();

    let (frames, warnings) = read(writer.into_inner());
    let seen: Vec<_> =
        frames.iter().map(|f| (f.ts.0 - NOON, f.source, f.link, f.orig_len, f.bytes.as_slice())).collect();
    assert_eq!(
        seen,
        [
            (1_000, 0, LinkType::ETHERNET, 9, &b"first"[..]),
            (3_906_250, 1, LinkType::LINUX_SLL, 6, b"second"),
            // The same interface as the first: link type, name and place agree.
            (7, 0, LinkType::ETHERNET, 5, b"third"),
            (8, 2, LinkType::RAW, 6, b"fourth"),
        ]
    );
    assert!(warnings.is_empty());
}

#[test]
fn every_clock_resolution_becomes_nanoseconds() {
    for (resolution, ticks, nanos) in [
        (0_u8, 3_u64, 3_000_000_000),
        (6, 1_234_567, 1_234_567_000),
        (9, u64::MAX, i64::MAX),
        (12, 1_999_999, 1_999),
        (28, u64::MAX, 1),
        (127, u64::MAX, 0),
        (0x80, 2, 2_000_000_000),
        (0x80 | 10, 1, 976_562),
        (0x80 | 64, u64::MAX, 999_999_999),
        (0x80 | 127, u64::MAX, 0),
    ] {
        let mut writer = PcapngWriter::new(Vec::new(), ByteOrder::Big).unwrap();
        writer.interface(&Interface { resolution, ..Interface::new(LinkType::ETHERNET) }).unwrap();
        let mut body = vec![0, 0, 0, 0];
        body.extend(ticks.to_be_bytes());
        body.extend([0; 8]);
        writer.block(6, &body).unwrap();
        assert_eq!(read(writer.into_inner()).0, [Owned::new(1, nanos, b"")], "resolution {resolution}");
    }
}

#[test]
fn offsets_at_the_ends_of_time_do_not_overflow() {
    let ends = [
        (i64::MAX, 5, i64::MAX),
        (i64::MIN, 5, i64::MIN + 5),
        (i64::MIN, 0, i64::MIN + 1),
        (-1, 5, -999_999_995),
    ];
    for (offset_seconds, ticks, nanos) in ends {
        let mut writer = PcapngWriter::new(Vec::new(), ByteOrder::Little).unwrap();
        writer.interface(&Interface { offset_seconds, ..Interface::new(LinkType::ETHERNET) }).unwrap();
        let mut body = [0; 20];
        body[8] = ticks;
        writer.block(6, &body).unwrap();
        assert_eq!(read(writer.into_inner()).0[0].ts, Timestamp(nanos));
    }
}

#[test]
fn simple_and_obsolete_packets_are_frames_too() {
    let mut writer = PcapngWriter::new(Vec::new(), ByteOrder::Little).unwrap();
    writer.interface(&Interface { snap_len: 6, ..Interface::new(LinkType::ETHERNET) }).unwrap();
    writer.block(3, b"\x05\0\0\0early").unwrap();
    // Interface 0, three drops, time, captured and original length, the frame, then an option.
    writer.block(2, b"\0\0\x03\0\0\0\0\0\x07\0\0\0\x03\0\0\0\x09\0\0\0old\0\x01\0\0\0").unwrap();
    // 20 bytes on the wire, cut to the 6 that the interface says; two bytes of padding.
    writer.block(3, b"\x14\0\0\0simple").unwrap();
    // 20 bytes on the wire, and twelve are here: the interface's 6 cannot be right.
    writer.block(3, b"\x14\0\0\0simple sends").unwrap();
    let (frames, warnings) = read(writer.into_inner());
    assert_eq!(
        frames,
        [
            Owned::new(1, 0, b"early"),
            Owned { orig_len: 9, ..Owned::new(2, 7, b"old") },
            Owned { orig_len: 20, ..Owned::new(3, 7, b"simple") },
            Owned { orig_len: 20, ..Owned::new(4, 7, b"simple sends") },
        ]
    );
    assert!(warnings.is_empty());
}

#[test]
fn unknown_blocks_and_options_are_stepped_over_by_length() {
    let mut writer = PcapngWriter::new(Vec::new(), ByteOrder::Little).unwrap();
    // Far larger than what is read at once.
    writer.block(0x0bad, &vec![0x5a; 3_000_000]).unwrap();
    // Link type, snap length, a comment, an option that runs past the block.
    writer.block(1, b"\x01\0\0\0\0\0\0\0\x01\0\x02\0hi\0\0\x09\0\xff\xff\x01").unwrap();
    writer.block(5, b"").unwrap();
    // A packet followed by a flags option and the end of options.
    let packet = b"\0\0\0\0\0\0\0\0\x01\0\0\0\x04\0\0\0\x04\0\0\0pack\x02\0\x04\0\0\0\0\0\0\0\0\0";
    writer.block(6, packet).unwrap();
    writer.block(0x8000_0001, &vec![0; 1 << 20]).unwrap();
    writer.block(6, packet).unwrap();
    let (frames, warnings) = read(writer.into_inner());
    assert_eq!(frames, [Owned::new(1, 1_000, b"pack"), Owned::new(2, 1_000, b"pack")]);
    assert!(warnings.is_empty());
}

#[test]
fn a_block_length_may_leave_out_the_padding() {
    let mut file = pcapng(ByteOrder::Little, &[Owned::new(1, NOON, b"pad")]);
    let block = file.len() - 36;
    assert_eq!(file[block..block + 8], [6, 0, 0, 0, 36, 0, 0, 0]);
    file[block + 4] = 35;
    let trailer = file.len() - 4;
    file[trailer] = 35;
    file.extend(&pcapng(ByteOrder::Big, &[Owned::new(2, NOON, b"next")]));
    assert_eq!(read(file), (vec![Owned::new(1, NOON, b"pad"), Owned::new(2, NOON, b"next")], vec![]));
}

#[test]
fn packets_of_undeclared_interfaces_are_counted_not_guessed() {
    let mut writer = PcapngWriter::new(Vec::new(), ByteOrder::Little).unwrap();
    writer.block(3, b"\x01\0\0\0x").unwrap();
    writer.frame(&Owned::new(1, NOON, b"good").view()).unwrap();
    writer.block(6, b"\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
    let (frames, warnings) = read(writer.into_inner());
    assert_eq!(frames, [Owned::new(1, NOON, b"good")]);
    assert_eq!(warnings, ["a: 2 packets left out, of interfaces that no block declares"]);
}

/// An Interface Statistics Block of one interface.
fn statistics(order: ByteOrder, interface: u32, options: &[(u16, i64)]) -> Vec<u8> {
    let mut body = order.put32(interface).to_vec();
    body.extend([0; 8]);
    for (code, value) in options {
        body.extend([order.put16(*code), order.put16(8)].concat());
        body.extend(order.put64(*value));
    }
    body.extend([0; 4]);
    body
}

#[test]
fn what_the_capturing_program_lost_is_said() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let mut writer = PcapngWriter::new(Vec::new(), order).unwrap();
        writer.frame(&Owned::new(1, NOON, b"good").view()).unwrap();
        // Received 900; dropped by the interface 7, by the system 5; then 8 and 5 in all.
        writer.block(5, &statistics(order, 0, &[(4, 900), (5, 7), (7, 5)])).unwrap();
        writer.block(5, &statistics(order, 0, &[(5, 8), (7, 5)])).unwrap();
        // Of nobody, too short, cut within an option, longer than any, and not known.
        writer.block(5, &statistics(order, 3, &[(5, 99)])).unwrap();
        writer.block(5, &[0; 8]).unwrap();
        writer.block(5, &statistics(order, 0, &[(5, 99)])[..20]).unwrap();
        writer.block(5, &[statistics(order, 0, &[(5, 99)]), vec![0; 1 << 16]].concat()).unwrap();
        writer.block(5, &statistics(order, 0, &[(5, -1), (7, -1)])).unwrap();
        writer.section(order).unwrap();
        writer.interface(&Interface::new(LinkType::ETHERNET)).unwrap();
        writer.block(5, &statistics(order, 0, &[(7, 30)])).unwrap();
        let (frames, warnings) = read(writer.into_inner());
        assert_eq!(frames, [Owned::new(1, NOON, b"good")]);
        assert_eq!(warnings, ["a: the capturing program lost 43 packets before writing them"]);
    }
    let mut writer = PcapngWriter::new(Vec::new(), ByteOrder::Little).unwrap();
    writer.frame(&Owned::new(1, NOON, b"good").view()).unwrap();
    writer.block(5, &statistics(ByteOrder::Little, 0, &[(4, 900), (5, 0), (7, 0)])).unwrap();
    assert_eq!(read(writer.into_inner()).1, [""; 0]);
}

#[test]
fn frames_larger_than_a_block_and_smaller_ones_share_a_file() {
    let large: Vec<u8> = (0..900_000_u32).map(|i| i as u8).collect();
    let mut frames = Vec::new();
    for no in 1..=400 {
        let bytes = if no % 100 == 0 { &large[..] } else { &large[..(no as usize * 37) % 3_000] };
        frames.push(Owned::new(no, NOON + no as i64, bytes));
    }
    for file in [pcap(ByteOrder::Little, Resolution::Nanos, &frames), pcapng(ByteOrder::Big, &frames)] {
        for stored in [gzip(&file), zstd(&file), file] {
            assert_eq!(read(stored), (frames.clone(), vec![]));
        }
    }
}

#[test]
fn a_block_is_filled_again_without_new_memory() {
    let frames: Vec<_> = (0..6_000).map(|no| Owned::new(no, NOON + no as i64, &[7; 600])).collect();
    let file = pcap(ByteOrder::Little, Resolution::Nanos, &frames);
    for stored in [gzip(&file), zstd(&file), file] {
        let mut timeline = timeline(vec![stored]).unwrap();
        let mut block = Block::new();
        let mut homes = std::collections::BTreeSet::new();
        let mut sizes = Vec::new();
        while timeline.next_block(&mut block).unwrap() {
            homes.insert((block.bytes.as_ptr().addr(), block.frames.as_ptr().addr()));
            sizes.push(block.len());
            assert_eq!(block.frame(block.len() - 1).map(Owned::from), block.frames().last().map(Owned::from));
            assert!(block.frame(block.len()).is_none());
        }
        assert_eq!(homes.len(), 1);
        assert_eq!(sizes.iter().sum::<usize>(), frames.len());
        assert_eq!(block.bytes.len(), 256 << 10);
        assert!(sizes.len() <= 16, "{sizes:?}");
    }
}

#[test]
fn blocks_and_timelines_move_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Block>();
    sent::<Timeline>();
}

#[test]
fn what_a_format_cannot_hold_is_refused_when_written() {
    let frame = Owned::new(1, -1, b"early");
    let mut pcap =
        PcapWriter::new(Vec::new(), ByteOrder::Little, Resolution::Micros, LinkType::ETHERNET).unwrap();
    assert_eq!(
        pcap.frame(&frame.view()).unwrap_err().to_string(),
        "a pcap file cannot hold the time 1969-12-31T23:59:59.999999999Z"
    );
    let raw = Owned { link: LinkType::RAW, ts: Timestamp(0), ..frame.clone() };
    assert_eq!(
        pcap.frame(&raw.view()).unwrap_err().to_string(),
        "a pcap file of Ethernet cannot hold a frame of RAW"
    );
    let mut pcapng = PcapngWriter::new(Vec::new(), ByteOrder::Little).unwrap();
    assert!(pcapng.frame(&frame.view()).is_err());
    assert!(pcapng.packet(1, Timestamp(0), 0, b"").is_err(), "only interface 0 is declared");
}
