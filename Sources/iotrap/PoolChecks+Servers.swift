/// What the mount options of NFS say about the connections behind a pool, and whether `nconnect`
/// would do without one.
struct PoolServers {
    let pool: String
    let entries: [PoolMountChecks.Entry]

    func findings() -> [Finding] {
        let paths = entries.filter(\.mount.isNFS)
        guard !paths.isEmpty, paths.count == entries.count else { return [] }
        return exports() + versions() + [connections()].compactMap { $0 }
    }

    /// Different exports may still be one directory; whether they are, the files decide.
    private func exports() -> [Finding] {
        let exports = PoolMountChecks.unique(entries.map { $0.mount.remote.export })
        let hosts = PoolMountChecks.unique(entries.map { $0.mount.remote.host })
        if exports.count == 1 {
            return [
                .ok("server", "\(pool): \(exports[0]) from \(hosts.joined(separator: ", "))")
            ]
        }
        return [
            .warn(
                "server", "\(pool): different exports: \(exports.joined(separator: ", "))",
                remedy: "mount the same export for every path")
        ]
    }

    private func versions() -> [Finding] {
        let versions = PoolMountChecks.unique(entries.compactMap { $0.mount.value(of: "vers") })
        // Types that differ were told already.
        guard versions.count > 1, Set(entries.map(\.mount.type)).count == 1 else { return [] }
        return [
            .warn(
                "server", "\(pool): versions differ: \(versions.joined(separator: ", "))",
                remedy: "mount all paths with the same vers= option")
        ]
    }

    private func connections() -> Finding? {
        guard entries.count > 1 else { return nil }
        let addresses = PoolMountChecks.unique(entries.map(\.mount.serverAddress))
        let most = entries.compactMap { $0.mount.value(of: "nconnect").flatMap { Int($0) } }.max()
        if addresses.count == entries.count {
            return .ok(
                "server", "\(pool): \(addresses.count) addresses, a connection each at least")
        }
        if addresses.count > 1 {
            return .warn(
                "server",
                "\(pool): \(entries.count) paths to \(addresses.count) addresses: paths to one "
                    + "address share its connections",
                remedy: "one path for each address is enough")
        }
        if let most, most > 1 {
            return .warn(
                "server",
                "\(pool): one server address, \(addresses[0]), and nconnect=\(most) already: the "
                    + "pool will gain little",
                remedy: "leave the pool out, or mount from several addresses of the server")
        }
        return .warn(
            "server",
            "\(pool): one server address, \(addresses[0]): the mounts share one connection",
            remedy: "nconnect=N alone would do here, without iotrap: as root, unmount all that is "
                + "mounted from this server, then mount with it. A pool is for several addresses "
                + "or links, links of different speed, or where nobody may mount anew")
    }
}

extension Mount {
    var isNFS: Bool { type == "nfs" || type == "nfs4" }

    /// The two parts of `host:/export`. The host may be an IPv6 address in brackets.
    var remote: (host: String, export: String) {
        let text = source.text
        guard let colon = text.firstRange(of: ":/")?.lowerBound else { return (text, "") }
        return (String(text[..<colon]), String(text[colon...].dropFirst()))
    }

    /// What the kernel talks to: names of one server differ, its address does not.
    var serverAddress: String {
        value(of: "addr") ?? remote.host.filter { $0 != "[" && $0 != "]" }
    }
}
