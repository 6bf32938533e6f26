import CIOTrap
import CIOTrapEngine
import Synchronization

/// Slots by descriptor number. Two levels, so that a program with a handful of descriptors pays for
/// one 8 KiB leaf and one with a million still finds each in two loads. Leaves are never freed.
enum DescriptorTable {
    static let leafSlots = IOTRAP_DESCRIPTOR_LEAF_SLOTS

    @inline(__always)
    private static func address(_ fd: Int32) -> UnsafeMutablePointer<UInt64>? {
        let index = UInt32(bitPattern: fd)
        guard index < IOTRAP_DESCRIPTOR_LEAVES &* leafSlots else { return nil }
        let entry = UnsafeMutableRawPointer(iotrap_descriptor_root() + Int(index / leafSlots))
            .assumingMemoryBound(to: UInt64.self)
        // acquiring: pairs with `makeLeaf`
        let leaf = entry.atomic.pointee.load(ordering: .acquiring)
        guard let slots = UnsafeMutablePointer<UInt64>(bitPattern: UInt(leaf)) else { return nil }
        return slots + Int(index % leafSlots)
    }

    /// The slot of a descriptor; unknown when nothing was noted.
    @inline(__always)
    static func load(_ fd: Int32) -> Slot {
        guard let word = address(fd) else { return Slot(word: 0) }
        // relaxed: a slot is one word and a hint; nothing else is published through it
        return Slot(word: word.atomic.pointee.load(ordering: .relaxed))
    }

    /// Notes what a descriptor is; false when it lies beyond the table or memory is refused.
    @discardableResult
    static func store(_ fd: Int32, _ slot: Slot) -> Bool {
        if let word = address(fd) {
            word.atomic.pointee.store(slot.word, ordering: .relaxed)
            return true
        }
        guard slot.word != 0, makeLeaf(fd) else { return false }
        address(fd)?.atomic.pointee.store(slot.word, ordering: .relaxed)
        return true
    }

    private static func makeLeaf(_ fd: Int32) -> Bool {
        let index = UInt32(bitPattern: fd)
        guard index < IOTRAP_DESCRIPTOR_LEAVES * leafSlots else { return false }
        let bytes = Int(leafSlots) * 8
        guard let pages = iotrap_pages(bytes, 0) else { return false }
        let entry = UnsafeMutableRawPointer(iotrap_descriptor_root() + Int(index / leafSlots))
            .assumingMemoryBound(to: UInt64.self)
        // Two threads may race to make the same leaf: the loser's pages go back.
        let (made, _) = entry.atomic.pointee.compareExchange(
            expected: 0, desired: UInt64(UInt(bitPattern: pages)),
            ordering: .acquiringAndReleasing)
        if !made { iotrap_pages_free(pages, bytes) }
        return true
    }

    /// Calls `body` for every slot in `first...last` that holds anything.
    static func forEach(
        _ first: UInt32, _ last: UInt32, _ body: (Int32, UnsafeMutablePointer<UInt64>) -> Void
    ) {
        let top = IOTRAP_DESCRIPTOR_LEAVES * leafSlots - 1
        guard first <= last, first <= top else { return }
        var index = first
        let end = min(last, top)
        while true {
            if let leaf = iotrap_descriptor_root()[Int(index / leafSlots)] {
                let word = leaf + Int(index % leafSlots)
                if word.pointee != 0 { body(Int32(index), word) }
                if index == end { return }
                index += 1
            } else {
                let next = (index / leafSlots + 1) * leafSlots
                if next > end { return }
                index = next
            }
        }
    }
}

// MARK: - What the hooks report

/// See iotrap_engine.h.
@c @implementation
public func iotrap_descriptor_opened(_ fd: Int32, _ flags: UInt32) {
    // Restricted: a new leaf would take a system call that the program's filter may not list.
    guard process.pointee.isActive, process.pointee.isRestricted == 0, fd >= 0 else { return }
    // A direct file is checked at its first use: only there is it known to be a regular file.
    let kind: DescriptorKind
    if flags & OpenFlags.path != 0 {
        kind = .notRegular
    } else {
        kind = flags & OpenFlags.direct != 0 ? .unknown : .openedBuffered
    }
    DescriptorTable.store(fd, Slot(kind: kind, flags: flags))
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_descriptor_forget(_ fd: Int32) {
    guard process.pointee.isActive, fd >= 0 else { return }
    DescriptorTable.store(fd, Slot(word: 0))
    if iotrap_is_recording() != 0 { RecordedFiles.forget(UInt32(fd), UInt32(fd)) }
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_descriptors_forget(_ first: UInt32, _ last: UInt32) {
    guard process.pointee.isActive else { return }
    if iotrap_is_recording() != 0 { RecordedFiles.forget(first, last) }
    DescriptorTable.forEach(first, last) { _, word in
        if Slot(word: word.pointee).kind != .engine {
            word.atomic.pointee.store(0, ordering: .relaxed)
        }
    }
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_descriptor_internal_from(_ first: UInt32, _ last: UInt32) -> Int32 {
    guard process.pointee.isActive else { return -1 }
    var found: Int32 = -1
    DescriptorTable.forEach(first, last) { fd, word in
        if found < 0 && Slot(word: word.pointee).kind == .engine { found = fd }
    }
    return found
}

/// See iotrap_engine.h.
@c @implementation
public func iotrap_descriptor_surrender(_ fd: Int32) {
    // A thread whose ring it is finds it gone at the next submission and makes another.
    Service.surrender(fd)
    iotrap_descriptor_forget(fd)
}

/// Open flags by their kernel values on x86_64; C defines O_DIRECT for GNU sources only.
enum OpenFlags {
    static let accessMask: UInt32 = 3
    static let writeOnly: UInt32 = 1
    static let readWrite: UInt32 = 2
    static let append: UInt32 = 0o2000
    static let path: UInt32 = 0o10000000
    static let direct: UInt32 = 0o40000
}
