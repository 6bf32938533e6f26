import CIOTrapEngine
import Glibc
import Synchronization
import Testing

@testable import IOTrapEngine

/// A file whose syncs take a while and cover exactly the writes that happened before they began.
private final class SlowFile: Sendable {
    let written = Atomic<UInt64>(0)
    let durable = Atomic<UInt64>(0)
    let syncs = Atomic<Int>(0)
    /// Every so many syncs one fails; 0: none.
    let failEvery: Int
    let pauseMicroseconds: UInt32

    init(failEvery: Int = 0, pauseMicroseconds: UInt32 = 300) {
        self.failEvery = failEvery
        self.pauseMicroseconds = pauseMicroseconds
    }

    func sync() -> Int64 {
        let covered = written.load(ordering: .sequentiallyConsistent)
        let number = syncs.wrappingAdd(1, ordering: .relaxed).newValue
        usleep(pauseMicroseconds)
        if failEvery > 0 && number % failEvery == 0 { return Int64(-EIO) }
        _ = durable.max(covered, ordering: .sequentiallyConsistent)
        return 0
    }
}

private struct Member: Syncing {
    let file: SlowFile
    let descriptor: Int32
    var ownError: Int64 = 0
    var checks = 0

    mutating func sync() -> Int64 { file.sync() }
    mutating func checkError() -> Int64 {
        checks += 1
        return ownError
    }
}

/// A group in memory of its own, as it lives in a file record.
private final class Group: @unchecked Sendable {
    let address: UnsafeMutablePointer<iotrap_group>

    init() {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<iotrap_group>.stride, alignment: 64)
        memset(memory, 0, MemoryLayout<iotrap_group>.stride)
        address = memory.assumingMemoryBound(to: iotrap_group.self)
    }

    deinit { UnsafeMutableRawPointer(address).deallocate() }

    /// Callers that wait for the sync of a number.
    func waiters(of number: UInt64) -> UInt32 {
        let lock = UnsafeMutableRawPointer(iotrap_group_lock(address))
            .assumingMemoryBound(to: FutexLock.self)
        FutexLock.acquire(lock)
        defer { FutexLock.release(lock) }
        return iotrap_group_slot(address, number).pointee.waiters
    }
}

/// Runs `body(index)` on real threads and waits for all of them.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    final class Work: Sendable {
        let index: Int
        let body: @Sendable (Int) -> Void
        init(_ index: Int, _ body: @escaping @Sendable (Int) -> Void) {
            self.index = index
            self.body = body
        }
    }
    var threads: [pthread_t] = []
    for index in 0..<count {
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(index, body)).toOpaque()
        let made = pthread_create(
            &thread, nil,
            { argument in
                let work = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
                work.body(work.index)
                return nil
            }, work)
        #expect(made == 0)
        threads.append(thread)
    }
    for thread in threads { pthread_join(thread, nil) }
}

@Suite struct GroupSyncTests {
    @Test func everyCallerIsServedByASyncThatBeganAfterItArrived() {
        let file = SlowFile()
        let group = Group()
        let lost = Atomic<Int>(0)
        onThreads(16) { index in
            for _ in 0..<60 {
                let mine = file.written.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                var member = Member(file: file, descriptor: Int32(index))
                let outcome = GroupSync.sync(group.address, &member, population: 1)
                if outcome.result != 0
                    || file.durable.load(ordering: .sequentiallyConsistent) < mine
                {
                    lost.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        #expect(lost.load(ordering: .relaxed) == 0)
    }

    @Test func allWhoWaitShareOneSync() {
        let group = Group()
        let syncs = Atomic<Int>(0)
        // The first sync lasts until all the others wait for the next.
        struct Patient: Syncing {
            let descriptor: Int32 = 3
            let group: Group
            let body: () -> Void
            mutating func sync() -> Int64 {
                body()
                return 0
            }
            mutating func checkError() -> Int64 { 0 }
        }
        onThreads(16) { _ in
            var member = Patient(group: group) {
                guard syncs.wrappingAdd(1, ordering: .relaxed).newValue == 1 else { return }
                while group.waiters(of: 2) < 15 { usleep(100) }
            }
            #expect(GroupSync.sync(group.address, &member, population: 1).result == 0)
        }
        #expect(syncs.load(ordering: .relaxed) == 2)
    }

    @Test func aFailureReachesEveryCallerItServed() {
        let file = SlowFile(failEvery: 3)
        let group = Group()
        let wrong = Atomic<Int>(0)
        let failures = Atomic<Int>(0)
        onThreads(12) { index in
            for _ in 0..<60 {
                let mine = file.written.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                var member = Member(file: file, descriptor: Int32(index))
                let outcome = GroupSync.sync(group.address, &member, population: 1)
                if outcome.result != 0 { failures.wrappingAdd(1, ordering: .relaxed) }
                if outcome.result == 0
                    && file.durable.load(ordering: .sequentiallyConsistent) < mine
                {
                    wrong.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0, "success was reported for a failed sync")
        #expect(failures.load(ordering: .relaxed) >= file.syncs.load(ordering: .relaxed) / 3)
    }

    @Test func followersOnOtherDescriptorsHearTheirOwnErrors() {
        let file = SlowFile(pauseMicroseconds: 2000)
        let group = Group()
        let silent = Atomic<Int>(0)
        let followers = Atomic<Int>(0)
        onThreads(8) { index in
            for _ in 0..<20 {
                var member = Member(file: file, descriptor: Int32(index), ownError: Int64(-EIO))
                let outcome = GroupSync.sync(group.address, &member, population: 1)
                if outcome.led { continue }
                followers.wrappingAdd(1, ordering: .relaxed)
                // The leader had another descriptor: this one's pending error must come out.
                if outcome.result != Int64(-EIO) || member.checks != 1 {
                    silent.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        #expect(followers.load(ordering: .relaxed) > 0)
        #expect(silent.load(ordering: .relaxed) == 0)
    }

    @Test func aLoneCallerNeverWaitsForOthers() {
        // Long syncs: with anybody expected, each call would gather for an eighth of its time.
        let file = SlowFile(pauseMicroseconds: 4000)
        let group = Group()
        for _ in 0..<20 {
            var member = Member(file: file, descriptor: 3)
            _ = GroupSync.sync(group.address, &member, population: 1)
            #expect(group.address.pointee.expected == 1)
            #expect(group.address.pointee.gathered == 1)
        }
    }

    @Test func recentThreadsAreCountedAndForgotten() {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<RecentThreads>.stride, alignment: 8)
        defer { memory.deallocate() }
        memset(memory, 0, MemoryLayout<RecentThreads>.stride)
        let recent = memory.assumingMemoryBound(to: RecentThreads.self)
        for _ in 0..<100 { #expect(RecentThreads.note(recent, threadID: 7) == 1) }
        for thread in 100..<116 { _ = RecentThreads.note(recent, threadID: Int32(thread)) }
        #expect(RecentThreads.note(recent, threadID: 7) == 17)
        for _ in 0..<64 { _ = RecentThreads.note(recent, threadID: 7) }
        #expect(RecentThreads.note(recent, threadID: 7) == 1)
    }

    @Test func aloneItIsOneRealSyncACall() {
        let file = SlowFile(pauseMicroseconds: 0)
        let group = Group()
        for _ in 0..<100 {
            var member = Member(file: file, descriptor: 3)
            let outcome = GroupSync.sync(group.address, &member, population: 1)
            #expect(outcome.result == 0 && outcome.led)
        }
        #expect(file.syncs.load(ordering: .relaxed) == 100)
    }
}
