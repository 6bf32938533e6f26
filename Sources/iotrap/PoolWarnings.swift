import Glibc

/// What of a pool's paths looks wrong before the program starts. None of it is an error: a path may
/// be mounted later, and the library proves for itself which paths lead to the same file.
struct PoolWarnings {
    let mounts: PoolMounts

    /// The lines to print, each with the reason and what to do.
    func lines(for pools: [Pool]) -> [String] { pools.flatMap(lines) }

    private func lines(for pool: Pool) -> [String] {
        var lines: [String] = []
        var found: [(path: ByteString, mount: Mount)] = []
        for path in pool.paths {
            switch mounts.place(of: path) {
            case .directory(let mount): found.append((path, mount))
            case .unreachable(let code): lines.append(Self.unreachable(path, code))
            }
        }
        if pool.paths.count == 1 {
            lines.append("has one path only: nothing is spread; name the other mounts")
        }
        lines += shared(found) + readOnly(found) + unlike(found)
        return lines.map { "warning: pool '\(pool.name)': \($0)" }
    }

    private static func unreachable(_ path: ByteString, _ code: Int32) -> String {
        switch code {
        case ENOENT: "\(path.text) does not exist; create it and mount the storage there"
        case ENOTDIR: "\(path.text) is no directory; name the place where a mount is"
        default: "\(path.text): \(Diagnostics.errorText(code)); check the path and its permissions"
        }
    }

    private typealias Found = [(path: ByteString, mount: Mount)]

    /// Paths that lie on one mount share its connection.
    private func shared(_ found: Found) -> [String] {
        var lines: [String] = []
        for first in found {
            let same = found.filter { $0.mount.identifier == first.mount.identifier }
            guard same.count > 1, same.first?.path == first.path else { continue }
            lines.append(
                "\(Self.list(same.map(\.path.text))) are on one mount, \(first.mount.path.text): "
                    + "nothing is gained between them; mount the storage at each of them")
        }
        return lines
    }

    private func readOnly(_ found: Found) -> [String] {
        let some = found.filter(\.mount.isReadOnly)
        if some.isEmpty || some.count == found.count { return [] }
        return [
            "read-only, unlike the others: \(Self.list(some.map(\.path.text))); writes stay off "
                + "there; mount it as the others"
        ]
    }

    /// Only a hint: one storage may well have several addresses.
    private func unlike(_ found: Found) -> [String] {
        let kinds = Self.distinct(found.map(\.mount.type))
        if kinds.count > 1 {
            return [
                "file systems of several types (\(Self.list(kinds))); paths of a pool have to lead "
                    + "to the same files"
            ]
        }
        let sources = Self.distinct(found.map(\.mount.source.text))
        if sources.count < 2 { return [] }
        return [
            "mounts of several sources (\(Self.list(sources))); fine if they are addresses of one "
                + "storage"
        ]
    }

    private static func distinct(_ texts: [String]) -> [String] {
        var seen: [String] = []
        for text in texts where !seen.contains(text) { seen.append(text) }
        return seen
    }

    /// The first few of them.
    private static func list(_ texts: [String]) -> String {
        let rest = texts.count > 4 ? ", and \(texts.count - 4) more" : ""
        return texts.prefix(4).joined(separator: ", ") + rest
    }
}
