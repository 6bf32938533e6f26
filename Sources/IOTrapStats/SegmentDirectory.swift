import Glibc

/// An open directory of segments, one file per process, named by its decimal ID.
public struct SegmentDirectory: ~Copyable {
    /// Where it was found.
    public let path: String
    private let descriptor: OwnedDescriptor
    private let owner: UInt32

    /// Opens a directory and checks that nobody else can put files into it.
    ///
    /// It must belong to the calling user; root may read the directories of others.
    public init(path: String) throws(SegmentError) {
        let directory = try Self.open(path)
        owner = try Self.checkOwner(directory, path: path)
        descriptor = directory
        self.path = path
    }

    /// Where the segments of a user's processes are unless IOTRAP_STATS_DIR says otherwise.
    public static func standardPath(userID: UInt32) -> String { "/dev/shm/iotrap-\(userID)" }

    /// Root may read other users' directories; tidying them is not its business.
    var isOwn: Bool { owner == geteuid() }

    /// Opens and checks the segment of one process.
    public func segment(of processID: Int32) throws(SegmentError) -> Segment {
        let path = "\(self.path)/\(processID)"
        let segment = try Segment(
            name: String(processID), in: descriptor.number, path: path,
            owners: [geteuid(), 0, owner])
        if segment.header.processID != processID {
            throw SegmentError(
                path: path,
                reason: .field(
                    "process_id", found: UInt64(segment.header.processID),
                    expected: UInt64(processID)))
        }
        return segment
    }

    /// The process IDs that have a file here, in ascending order.
    public func processIDs() -> [Int32] {
        names().compactMap { name in
            guard let value = Int32(name), value > 0, String(value) == name else { return nil }
            return value
        }.sorted()
    }

    /// The names of everything in the directory, without "." and "..".
    func names() -> [String] {
        // A descriptor of its own: a duplicate would share, and move, the reading position.
        let listing = openat(descriptor.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard listing >= 0, let stream = fdopendir(listing) else {
            if listing >= 0 { Glibc.close(listing) }
            return []
        }
        defer { closedir(stream) }
        let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name)!
        var names: [String] = []
        while let entry = readdir(stream) {
            let start = UnsafeRawPointer(entry) + nameOffset
            let name = String(cString: start.assumingMemoryBound(to: CChar.self))
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Removes the file of one process. Returns whether there was one.
    @discardableResult
    public func remove(_ processID: Int32) -> Bool {
        unlinkat(descriptor.number, String(processID), 0) == 0
    }

    /// Removes the segments of processes that are gone and did not ask for theirs to stay.
    ///
    /// Leaves everything that is no segment of this version, except files without a header whose
    /// process is gone. Returns the process IDs whose files it removed.
    ///
    /// - Parameter includingKept: removes the segments of dead processes that were to stay too.
    @discardableResult
    public func prune(includingKept: Bool = false) -> [Int32] {
        if !isOwn { return [] }
        return processIDs().filter { processID in
            guard let abandoned = abandonedFile(of: processID, includingKept) else { return false }
            // The ID may have come back meanwhile, with a new file in the old one's place.
            var status = stat()
            if fstatat(descriptor.number, String(processID), &status, AT_SYMLINK_NOFOLLOW) != 0
                || abandoned != FileIdentity(status)
            {
                return false
            }
            return remove(processID)
        }
    }

    /// The identity of a file that may go, nil when it has to stay.
    private func abandonedFile(of processID: Int32, _ includingKept: Bool) -> FileIdentity? {
        do throws(SegmentError) {
            let segment = try segment(of: processID)
            let header = segment.header
            if header.keep && !includingKept { return nil }
            if processRuns(processID, since: header.startedNanoseconds) { return nil }
            return segment.identity
        } catch {
            var status = stat()
            if error.reason != .unfinished || processExists(processID)
                || fstatat(descriptor.number, String(processID), &status, AT_SYMLINK_NOFOLLOW) != 0
            {
                return nil
            }
            return FileIdentity(status)
        }
    }

    private static func checkOwner(
        _ descriptor: borrowing OwnedDescriptor, path: String
    ) throws(SegmentError) -> UInt32 {
        let status = try descriptor.status(path: path)
        if status.st_uid != geteuid() && geteuid() != 0 {
            throw SegmentError(path: path, reason: .foreignOwner(userID: status.st_uid))
        }
        if status.st_mode & 0o022 != 0 {
            throw SegmentError(path: path, reason: .writableByOthers(mode: status.st_mode))
        }
        return status.st_uid
    }

    private static func open(_ path: String) throws(SegmentError) -> OwnedDescriptor {
        do throws(Errno) {
            let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
            return try OwnedDescriptor(opening: path, flags: flags)
        } catch {
            if error.code != ENOTDIR { throw SegmentError.opening(path, error.code) }
            // O_DIRECTORY with O_NOFOLLOW answers ENOTDIR for a link as well.
            var status = stat()
            let isLink = lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
            throw SegmentError(
                path: path, reason: isLink ? .symbolicLink : .wrongKind(expected: "directory"))
        }
    }
}
