import IOTrapStats

/// One line of /proc/self/mountinfo, as proc(5) describes it.
struct Mount: Equatable {
    /// What /proc/PID/fdinfo calls `mnt_id`.
    var identifier: Int
    /// "major:minor" of the superblock: mounts that show one superblock have it in common.
    var device: String
    /// What of the file system is mounted: "/" unless it is a part or a bind mount.
    var root: ByteString
    /// Where it is mounted.
    var path: ByteString
    /// Options of this mount: `ro`, `relatime`, ...
    var options: [String]
    /// `xfs`, `nfs4`, `fuse.sshfs`, ...
    var type: String
    /// A device, `host:/export`, or whatever the file system calls it.
    var source: ByteString
    /// Options of the superblock: `ro`, `addr=10.0.0.1`, `nconnect=4`, ...
    var superOptions: [String]

    var isReadOnly: Bool { options.contains("ro") || superOptions.contains("ro") }

    /// The value of an option of the superblock.
    func value(of name: String) -> String? {
        superOptions.first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }
}

/// What is mounted, in the order in which it was.
struct MountTable {
    let mounts: [Mount]

    /// - Parameter text: what /proc/self/mountinfo holds. Lines that are none are passed over.
    init(_ text: [UInt8]) {
        mounts = text.split(separator: UInt8(ascii: "\n")).compactMap { Self.mount($0) }
    }

    /// The mounts that this process sees; nil without /proc.
    static func ofProcess() -> MountTable? {
        guard let text = smallFile("/proc/self/mountinfo", limit: 64 << 20) else { return nil }
        let table = MountTable(text)
        return table.mounts.isEmpty ? nil : table
    }

    subscript(identifier: Int) -> Mount? { mounts.first { $0.identifier == identifier } }

    /// The mount that a path without symbolic links lies on: no file system is asked, so this works
    /// for one that does not answer.
    func mount(holding path: ByteString) -> Mount? {
        var best: Mount?
        for mount in mounts where Self.holds(mount.path.bytes, path.bytes) {
            // Of two on one directory, the later one covers the earlier.
            if mount.path.bytes.count >= best?.path.bytes.count ?? 0 { best = mount }
        }
        return best
    }

    private static func holds(_ directory: [UInt8], _ path: [UInt8]) -> Bool {
        if directory == [UInt8(ascii: "/")] || directory == path { return true }
        return path.starts(with: directory) && path[directory.count] == UInt8(ascii: "/")
    }

    private static func mount(_ line: some Sequence<UInt8>) -> Mount? {
        let words = Array(line).split(
            separator: UInt8(ascii: " "), omittingEmptySubsequences: false
        ).map { Array($0) }
        // Optional fields stand between the sixth word and a lone "-".
        guard words.count >= 9, let dash = words[6...].firstIndex(of: [UInt8(ascii: "-")]),
            words.count > dash + 3, let identifier = Int(ByteString(words[0]).text)
        else { return nil }
        return Mount(
            identifier: identifier, device: ByteString(words[2]).text,
            root: ByteString(unescaped(words[3])), path: ByteString(unescaped(words[4])),
            options: options(words[5]), type: ByteString(unescaped(words[dash + 1])).text,
            source: ByteString(unescaped(words[dash + 2])), superOptions: options(words[dash + 3]))
    }

    private static func options(_ word: [UInt8]) -> [String] {
        word.split(separator: UInt8(ascii: ",")).map { ByteString(unescaped(Array($0))).text }
    }

    /// The kernel writes blanks, backslashes and number signs as three octal digits.
    private static func unescaped(_ word: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        while index < word.count {
            let digits = word[(index + 1)...].prefix(3)
            if word[index] == UInt8(ascii: "\\"), digits.count == 3,
                digits.allSatisfy({ (0x30...0x37).contains($0) }),
                let code = UInt8(ByteString(digits).text, radix: 8)
            {
                result.append(code)
                index += 4
            } else {
                result.append(word[index])
                index += 1
            }
        }
        return result
    }
}
