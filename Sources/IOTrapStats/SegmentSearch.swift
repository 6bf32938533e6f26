import Glibc

/// Finds segments where the library may have put them.
///
/// Searches IOTRAP_STATS_DIR, or the calling user's directory in /dev/shm (for root: every
/// user's), and below each the private directories of `iotrap run --stats`.
public struct SegmentSearch: Sendable {
    /// A segment that was found, with its numbers.
    public struct Found: Sendable {
        /// The file.
        public var path: String
        /// Its numbers.
        public var snapshot: Snapshot
    }

    /// How the names of private directories start; the process ID of `iotrap run` follows.
    public static let privatePrefix = "run-"

    /// The directories that are searched, without those below them.
    public let roots: [String]
    private let isExplicit: Bool

    /// A search in `directory`, the value of IOTRAP_STATS_DIR, or in the standard places.
    public init(directory: String?) {
        if let directory, !directory.isEmpty {
            roots = [directory]
            isExplicit = true
        } else {
            roots = Self.standardDirectories()
            isExplicit = false
        }
    }

    /// The segment of one process, nil when there is none.
    ///
    /// Throws when there is one that cannot be used. Should several hold the same ID, the
    /// youngest counts.
    public func segment(of processID: Int32) throws(SegmentError) -> Found? {
        var problems: [SegmentError] = []
        let found = youngest(problems: &problems) { $0 == processID }
        if let found { return found }
        if let problem = problems.first { throw problem }
        return nil
    }

    /// The segment of the process that started last, and why others were passed over.
    ///
    /// Prunes the directories first, so that what dead processes left behind is not shown.
    public func last() -> (found: Found?, problems: [SegmentError]) {
        prune()
        var problems: [SegmentError] = []
        let found = youngest(problems: &problems) { _ in true }
        return (found, problems)
    }

    /// Prunes every directory of the search that belongs to the calling user.
    ///
    /// A private directory whose `iotrap run` is gone goes as a whole, once the processes in it
    /// have ended: nobody else knows of it.
    public func prune() {
        for path in directories() {
            guard let directory = try? SegmentDirectory(path: path) else { continue }
            let isAbandoned = Self.isAbandoned(path)
            directory.prune(includingKept: isAbandoned)
            // Fails, as it should, while something is in it.
            if isAbandoned && directory.isOwn { rmdir(path) }
        }
    }

    /// Whether the directory is private and its `iotrap run` is no more.
    private static func isAbandoned(_ path: String) -> Bool {
        let name = path.split(separator: "/").last ?? ""
        guard name.hasPrefix(privatePrefix), let runner = Int32(name.dropFirst(privatePrefix.count))
        else { return false }
        return runner > 0 && kill(runner, 0) != 0 && errno == ESRCH
    }

    private func youngest(
        problems: inout [SegmentError], where wanted: (Int32) -> Bool
    ) -> Found? {
        var best: Found?
        var bestStart: UInt64 = 0
        for path in directories() {
            do throws(SegmentError) {
                let directory = try SegmentDirectory(path: path)
                for processID in directory.processIDs() where wanted(processID) {
                    do throws(SegmentError) {
                        let segment = try directory.segment(of: processID)
                        let start = segment.header.startedRealtimeNanoseconds
                        if best != nil && start < bestStart { continue }
                        best = Found(path: segment.path, snapshot: try segment.snapshot())
                        bestStart = start
                    } catch {
                        // Gone between the listing and the opening: its process has ended.
                        if error.reason != .missing { problems.append(error) }
                    }
                }
            } catch {
                // Only a directory that was asked for by name has to exist.
                if error.reason != .missing || isExplicit && path == roots[0] {
                    problems.append(error)
                }
            }
        }
        return best
    }

    private func directories() -> [String] {
        roots.flatMap { root -> [String] in
            guard let directory = try? SegmentDirectory(path: root) else { return [root] }
            let below = directory.names().filter { $0.hasPrefix(Self.privatePrefix) }
            return [root] + below.sorted().map { "\(root)/\($0)" }
        }
    }

    private static func standardDirectories() -> [String] {
        let own = SegmentDirectory.standardPath(userID: geteuid())
        guard geteuid() == 0, let stream = opendir("/dev/shm") else { return [own] }
        defer { closedir(stream) }
        let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name)!
        var others: [String] = []
        while let entry = readdir(stream) {
            let start = UnsafeRawPointer(entry) + nameOffset
            let name = String(cString: start.assumingMemoryBound(to: CChar.self))
            guard name.hasPrefix("iotrap-"), let userID = UInt32(name.dropFirst(7)) else {
                continue
            }
            let path = SegmentDirectory.standardPath(userID: userID)
            if userID != 0 && belongs(path, to: userID) { others.append(path) }
        }
        return [own] + others.sorted()
    }

    /// Whether a directory is what its name says: anybody may create any name in /dev/shm.
    private static func belongs(_ path: String, to userID: UInt32) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_uid == userID
    }
}
