/// What the mount table alone says about a pool. Nothing here asks a file system.
struct PoolMountChecks {
    /// A path of the pool and the mount that it lies on.
    struct Entry {
        let path: ByteString
        let mount: Mount
    }

    let pool: String
    let entries: [Entry]

    /// Findings from the general to the particular.
    func findings() -> [Finding] {
        var findings = unmounted()
        findings += shared()
        findings += [types()].compactMap { $0 }
        findings += readOnly()
        findings += [separateDisks()].compactMap { $0 }
        return findings + PoolServers(pool: pool, entries: entries).findings()
    }

    /// True when writing through one path would harm what another path shows.
    var endangersData: Bool { separateDisks() != nil }

    /// Paths that are plain directories of the root file system.
    private func unmounted() -> [Finding] {
        entries.filter { $0.mount.path.bytes == [UInt8(ascii: "/")] }.map {
            .warn(
                "mount", "\(pool): nothing is mounted on \($0.path.text)",
                remedy: "mount the storage there, or take the path out of the pool")
        }
    }

    /// Paths that lead to one mount, or to mounts of one superblock: they share what a pool is to
    /// multiply.
    private func shared() -> [Finding] {
        var findings: [Finding] = []
        for (index, entry) in entries.enumerated() {
            let before = entries[..<index]
            let names = "\(pool): \(entry.path.text) and"
            if let other = before.first(where: { $0.mount.identifier == entry.mount.identifier }) {
                findings.append(
                    .warn(
                        "mount", "\(names) \(other.path.text) lie on one mount: nothing is gained",
                        remedy: "keep one of them, or mount the storage once for each path"))
            } else if let other = before.first(where: { $0.mount.device == entry.mount.device }) {
                findings.append(
                    .warn(
                        "mount",
                        "\(names) \(other.path.text) are mounts of one superblock "
                            + "(\(entry.mount.device)): nothing is gained",
                        remedy: Self.remedy(for: entry.mount)))
            }
        }
        if findings.isEmpty, entries.count > 1 {
            findings.append(.ok("mount", "\(pool): \(entries.count) paths, a superblock each"))
        }
        return findings
    }

    private static func remedy(for mount: Mount) -> String {
        mount.isNFS
            ? "mount with nosharecache, and from another address of the server for each path: "
                + "mounts of one address share its connections"
            : "mount the storage once for each path, not the same mount twice (mount --bind)"
    }

    private func types() -> Finding? {
        let types = Self.unique(entries.map(\.mount.type))
        guard types.count > 1 else {
            return types.first.map { .ok("type", "\(pool): \($0)") }
        }
        let list = types.joined(separator: ", ")
        if entries.allSatisfy(\.mount.isNFS) {
            return .warn(
                "type", "\(pool): versions of NFS are mixed: \(list)",
                remedy: "mount all paths with the same vers= option: locks and caches of the "
                    + "versions differ")
        }
        return .fail(
            "type", "\(pool): different types of file systems: \(list)",
            remedy: "all paths of a pool must be mounts of the same storage")
    }

    private func readOnly() -> [Finding] {
        let paths = entries.filter(\.mount.isReadOnly).map(\.path.text)
        if paths.isEmpty { return [] }
        let all = paths.count == entries.count
        return [
            .warn(
                "read-only",
                "\(pool): \(all ? "all paths" : paths.joined(separator: ", ")): only reads are "
                    + "spread" + (all ? "" : " over \(paths.count == 1 ? "it" : "them")"),
                remedy: "mount read-write to spread writes as well")
        ]
    }

    /// File systems of one machine's disks, mounted for writing through several devices: each
    /// mount has a view of its own, and overwrites what the others did.
    private func separateDisks() -> Finding? {
        let disks = entries.filter { entry in
            !entry.mount.isReadOnly && Self.local.contains(entry.mount.type)
        }
        let devices = Self.unique(disks.map(\.mount.device))
        guard devices.count > 1 else { return nil }
        return .fail(
            "type",
            "\(pool): \(disks[0].mount.type) mounted for writing from \(devices.count) devices: "
                + "it is no shared file system, and writes through two of them destroy it",
            remedy: "mount all of them read-only, or use one of them")
    }

    private static let local: Set<String> = [
        "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "vfat", "exfat", "ntfs3",
    ]

    /// Without repetitions, in the order of their first occurrence.
    static func unique(_ values: [String]) -> [String] {
        var seen: Set<String> = []
        return values.filter { seen.insert($0).inserted }
    }
}
