import CIOTrap
import CIOTrapEngine
import Synchronization

/// Which file of the recording each descriptor is. Files and block devices are recorded; pipes,
/// sockets, terminals, directories and files of the kernel's own making are not.
enum RecordedFiles {
    private static let leafSlots = IOTRAP_DESCRIPTOR_LEAF_SLOTS
    private static let top = IOTRAP_DESCRIPTOR_LEAVES * IOTRAP_DESCRIPTOR_LEAF_SLOTS - 1

    /// Finds out what a descriptor is and names its file.
    static func resolve(_ thread: Recorder.Thread, _ fd: Int32) -> UInt32 {
        guard Recorder.isOn, process.pointee.isRestricted == 0,
            UInt32(bitPattern: fd) <= top, thread.pointee.state != IOTRAP_STATE_BARE
        else { return IOTRAP_RECORDED_NOT }
        var facts = iotrap_file_facts()
        guard iotrap_file_facts_now(fd, &facts) == 0 else { return IOTRAP_RECORDED_NOT }
        if !isRecorded(fd, facts) {
            store(fd, IOTRAP_RECORDED_NOT)
            return IOTRAP_RECORDED_NOT
        }
        guard let entry = name(thread, fd, facts) else { return IOTRAP_RECORDED_NOT }
        store(fd, entry)
        return entry
    }

    /// Names the file of a path.
    static func resolve(_ thread: Recorder.Thread, path: UnsafePointer<CChar>) -> UInt32 {
        guard Recorder.isOn, process.pointee.isRestricted == 0,
            thread.pointee.state != IOTRAP_STATE_BARE
        else { return IOTRAP_RECORDED_NOT }
        let fd = iotrap_open_name(path)
        guard fd >= 0 else { return IOTRAP_RECORDED_NOT }
        defer { iotrap_close_raw(fd) }
        var facts = iotrap_file_facts()
        guard iotrap_file_facts_now(fd, &facts) == 0 else { return IOTRAP_RECORDED_NOT }
        facts.status_flags = OpenFlags.writeOnly
        guard isRecorded(fd, facts) else { return IOTRAP_RECORDED_NOT }
        return name(thread, fd, facts) ?? IOTRAP_RECORDED_NOT
    }

    /// Forgets descriptors.
    static func forget(_ first: UInt32, _ last: UInt32) {
        guard first <= last, first <= top else { return }
        var index = first
        let end = min(last, top)
        while true {
            if let leaf = iotrap_recorded_root()[Int(index / leafSlots)] {
                iotrap_recorded_set(leaf + Int(index % leafSlots), 0)
                if index == end { return }
                index += 1
            } else {
                let next = (index / leafSlots + 1) * leafSlots
                if next > end { return }
                index = next
            }
        }
    }

    private static func isRecorded(_ fd: Int32, _ facts: iotrap_file_facts) -> Bool {
        if facts.status_flags & OpenFlags.path != 0 { return false }
        switch facts.mode & 0o170000 {
        case 0o100000: return iotrap_file_is_pseudo(fd, facts.device) == 0
        case 0o060000: return true
        default: return false
        }
    }

    private static func name(
        _ thread: Recorder.Thread, _ fd: Int32, _ facts: iotrap_file_facts
    ) -> UInt32? {
        Recorder.name(thread, facts, isSized: facts.mode & 0o170000 == 0o100000) { place, room in
            let text = UnsafeMutableRawPointer(place).assumingMemoryBound(to: CChar.self)
            let count = Int(iotrap_descriptor_path(fd, text, UInt32(room)))
            guard count > 0, count < room, place[0] == UInt8(ascii: "/") else { return -1 }
            let path = UnsafeBufferPointer(start: UnsafePointer(place), count: count)
            return RecordFilter.accepts(path) ? count : -1
        }
    }

    private static func store(_ fd: Int32, _ entry: UInt32) {
        let index = UInt32(bitPattern: fd)
        let root = iotrap_recorded_root() + Int(index / leafSlots)
        let word = UnsafeMutableRawPointer(root).assumingMemoryBound(to: UInt64.self).atomic
        // acquiring: pairs with the exchange below
        var leaf = word.pointee.load(ordering: .acquiring)
        if leaf == 0 {
            let bytes = Int(leafSlots) * MemoryLayout<iotrap_recorded_slot>.stride
            guard let pages = iotrap_pages(bytes, 0) else { return }
            let made = UInt64(UInt(bitPattern: pages))
            let (isMade, seen) = word.pointee.compareExchange(
                expected: 0, desired: made, ordering: .acquiringAndReleasing)
            if !isMade { iotrap_pages_free(pages, bytes) }
            leaf = isMade ? made : seen
        }
        let slots = UnsafeMutablePointer<iotrap_recorded_slot>(bitPattern: UInt(leaf))!
        iotrap_recorded_set(slots + Int(index % leafSlots), entry)
    }
}

/// The patterns of `--filter`.
enum RecordFilter {
    typealias Text = UnsafeBufferPointer<UInt8>

    /// True for a path that matches one of the patterns, or when there are none.
    static func accepts(_ path: Text) -> Bool {
        guard let control = Recorder.state.pointee.control else { return false }
        let bytes = Int(min(control.pointee.filter_bytes, IOTRAP_RECORDING_FILTER_BYTES))
        if bytes == 0 { return true }
        let all = Text(
            start: UnsafeRawPointer(iotrap_control_filters(control))
                .assumingMemoryBound(to: UInt8.self), count: bytes)
        var start = 0
        for index in 0..<bytes where all[index] == 0 {
            if matches(path, pattern: Text(rebasing: all[start..<index])) { return true }
            start = index + 1
        }
        return false
    }

    /// As a shell matches names, but "*" matches slashes as well. A pattern without a slash is for
    /// the last component.
    static func matches(_ path: Text, pattern: Text) -> Bool {
        if pattern.contains(UInt8(ascii: "/")) { return matchesWhole(path, pattern) }
        var start = path.count
        while start > 0, path[start - 1] != UInt8(ascii: "/") { start -= 1 }
        return matchesWhole(Text(rebasing: path[start...]), pattern)
    }

    private static func matchesWhole(_ text: Text, _ pattern: Text) -> Bool {
        var position = 0
        var next = 0
        // Where the last star stands, and where what follows it was tried to match.
        var star = -1
        var retry = 0
        while position < text.count {
            if next < pattern.count, pattern[next] == UInt8(ascii: "*") {
                star = next
                retry = position
                next += 1
                continue
            }
            if let after = step(text[position], pattern, next) {
                next = after
                position += 1
                continue
            }
            guard star >= 0 else { return false }
            retry += 1
            position = retry
            next = star + 1
        }
        while next < pattern.count, pattern[next] == UInt8(ascii: "*") { next += 1 }
        return next == pattern.count
    }

    /// Matches one byte; where the pattern goes on, or nil.
    private static func step(_ byte: UInt8, _ pattern: Text, _ next: Int) -> Int? {
        guard next < pattern.count else { return nil }
        switch pattern[next] {
        case UInt8(ascii: "?"): return next + 1
        case UInt8(ascii: "\\") where next + 1 < pattern.count:
            return pattern[next + 1] == byte ? next + 2 : nil
        case UInt8(ascii: "["):
            guard let end = setEnd(pattern, next) else { break }
            return isInSet(byte, pattern, next + 1, end) ? end + 1 : nil
        default: break
        }
        return pattern[next] == byte ? next + 1 : nil
    }

    /// Where the set that begins here ends; nil when it does not, and is no set.
    private static func setEnd(_ pattern: Text, _ start: Int) -> Int? {
        var index = start + 1
        if index < pattern.count, pattern[index] == UInt8(ascii: "!") { index += 1 }
        // A bracket right at the start belongs to the set.
        index += 1
        while index < pattern.count {
            if pattern[index] == UInt8(ascii: "]") { return index }
            index += 1
        }
        return nil
    }

    private static func isInSet(_ byte: UInt8, _ pattern: Text, _ start: Int, _ end: Int) -> Bool {
        var index = start
        let isInverted = pattern[index] == UInt8(ascii: "!")
        if isInverted { index += 1 }
        var isFound = false
        while index < end {
            let low = pattern[index]
            var high = low
            if index + 2 < end, pattern[index + 1] == UInt8(ascii: "-") {
                high = pattern[index + 2]
                index += 2
            }
            if low <= byte && byte <= high { isFound = true }
            index += 1
        }
        return isFound != isInverted
    }
}
