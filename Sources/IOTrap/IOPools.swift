import CIOTrap

/// Mount pools of the process: one file, reached through several mounts.
public enum IOPools {
    /// Sets the pools for files that are opened from now on.
    ///
    /// ```swift
    /// try IOPools.set("data:/mnt/a,/mnt/b,chunk=512K")
    /// ```
    /// - Parameter text: as in `IOTRAP_MOUNT_POOLS`; see the README
    /// - Throws: `.start` with what is wrong with the text; `EBUSY` when pools are in use already.
    public static func set(_ text: String) throws(IOError) {
        Engine.start()
        var error: Int32 = 0
        let explanation = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { memory in
            memory.initialize(repeating: 0)
            error = iotrap_set_pools(text, memory.baseAddress, memory.count)
            return error == 0 ? "" : String(cString: memory.baseAddress!)
        }
        guard error != 0 else { return }
        throw IOError(
            .start, path: "",
            reason: explanation.isEmpty ? .system(-error) : .invalid(explanation))
    }
}
