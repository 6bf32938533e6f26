import CIOTrap

/// What a task's priority and deadline are to the kernel.
enum Priority {
    private static let bestEffort: UInt16 = 2 << 13

    /// The current task's as ioprio_set(2) has it; 0, the process's own, for the usual one.
    static var current: UInt16 { ioPriority(Task.currentPriority) }

    /// Best effort, level 0 (first) to 7.
    static func ioPriority(_ priority: TaskPriority) -> UInt16 {
        switch priority.rawValue {
        case ..<TaskPriority.utility.rawValue: bestEffort | 7
        case ..<TaskPriority.medium.rawValue: bestEffort | 6
        case TaskPriority.medium.rawValue: 0
        default: bestEffort | 2
        }
    }

    /// A deadline on the engine's clock; 0: none. One that passed is the earliest there is.
    static func deadline(_ deadline: ContinuousClock.Instant?) -> UInt64 {
        guard let deadline else { return 0 }
        let left = ContinuousClock.now.duration(to: deadline).components
        guard left.seconds >= 0, left.attoseconds >= 0 else { return 1 }
        // A century is for ever.
        guard left.seconds < 3_000_000_000 else { return 0 }
        let nanoseconds =
            UInt64(left.seconds) * 1_000_000_000 + UInt64(left.attoseconds / 1_000_000_000)
        return iotrap_now() + max(nanoseconds, 1)
    }
}
