import CIOTrapEngine

/// Finds out what a descriptor is by asking the kernel.
enum Classification {
    static let typeMask: UInt32 = 0o170000
    static let regular: UInt32 = 0o100000

    /// Classifies a descriptor and notes the answer.
    ///
    /// - Returns: the slot; nil when the descriptor is not open (nothing is noted then).
    static func classify(_ fd: Int32) -> Slot? {
        guard fd >= 0 else { return nil }
        var facts = iotrap_file_facts()
        let result = iotrap_file_facts(fd, &facts)
        if result < 0 { return nil }
        var kind = kind(of: facts)
        if kind != .notRegular && iotrap_file_is_pseudo(fd, facts.device) != 0 {
            kind = .notRegular
        }
        var slot = Slot(kind: kind, flags: facts.status_flags)
        if kind != .notRegular, let (file, generation) = PoolFiles.find(fd, facts) {
            slot = Slot(
                kind: .pooled, flags: facts.status_flags, file: file, generation: generation)
        }
        DescriptorTable.store(fd, slot)
        return slot
    }

    static func kind(of facts: iotrap_file_facts) -> DescriptorKind {
        if facts.status_flags & OpenFlags.path != 0 { return .notRegular }
        if facts.mode & typeMask != regular { return .notRegular }
        return facts.status_flags & OpenFlags.direct != 0 ? .direct : .buffered
    }
}
