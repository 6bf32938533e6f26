import CIOTrap
import CIOTrapEngine
import Glibc
import Testing

@testable import IOTrapEngine

extension SharedStateTests {
    @Suite(.serialized) struct HabitTests {
        private func isKernels(_ context: ContextTable.Context) -> Bool {
            ContextTable.flags(context) & IOTRAP_CONTEXT_KERNEL != 0
        }

        @Test func aThreadIsTrustedAfterFourWillingWaitsInARow() throws {
            let test = try TestContext()
            let thread = TestThread(id: 7)
            Habits.noteSubmitter(thread.address, test.context)
            #expect(test.context.pointee.submitter == 7)
            for _ in 0..<3 { Habits.noteReaper(thread.address, test.context, isWilling: true) }
            #expect(test.context.pointee.willing < Habits.willingMinimum)
            Habits.noteReaper(thread.address, test.context, isWilling: false)
            #expect(test.context.pointee.willing == 0, "a look in passing starts the count again")
            for _ in 0..<9 { Habits.noteReaper(thread.address, test.context, isWilling: true) }
            #expect(test.context.pointee.willing == Habits.willingMinimum)
            #expect(!isKernels(test.context))
        }

        @Test(arguments: [true, false])
        func aContextOfSeveralThreadsStaysWithTheKernel(_ bySubmitter: Bool) throws {
            let test = try TestContext()
            let one = TestThread(id: 7)
            let other = TestThread(id: 8)
            Habits.noteSubmitter(one.address, test.context)
            if bySubmitter {
                Habits.noteSubmitter(other.address, test.context)
            } else {
                Habits.noteReaper(other.address, test.context, isWilling: true)
            }
            #expect(isKernels(test.context))
            #expect(ContextTable.flags(test.context) & IOTRAP_CONTEXT_SHARED != 0)
            #expect(test.context.pointee.reason == IOTRAP_REASON_SHARED_CONTEXT.rawValue)
            // For good: that one thread uses it from now on changes nothing.
            for _ in 0..<9 { Habits.noteReaper(one.address, test.context, isWilling: true) }
            #expect(isKernels(test.context))
        }

        @Test func whoTakesEventsBeforeAnythingWasSubmittedIsNoStranger() throws {
            let test = try TestContext()
            let thread = TestThread(id: 9)
            Habits.noteReaper(thread.address, test.context, isWilling: true)
            Habits.noteSubmitter(thread.address, test.context)
            #expect(!isKernels(test.context))
        }

        @Test func theMagicNumberComesBackOnceAllEventsAreInTheKernelsRing() throws {
            let test = try TestContext()
            Habits.setMagic(test.context, 0)
            Habits.keepWithKernel(test.context, IOTRAP_REASON_EVENTFD)
            #expect(test.ring.pointee.magic == IOTRAP_AIO_MAGIC)

            let busy = try TestContext()
            Habits.setMagic(busy.context, 0)
            let request = try #require(busy.request(1))
            Habits.keepWithKernel(busy.context, IOTRAP_REASON_EVENTFD)
            #expect(busy.ring.pointee.magic == 0, "an event is still to come from elsewhere")
            ContextEvents.finish(TestThread().address, request, result: 0, now: 1)
            ContextEvents.discard(busy.context)
        }

        @Test func theFirstReasonStays() throws {
            let test = try TestContext()
            Habits.keepWithKernel(test.context, IOTRAP_REASON_EVENTFD)
            Habits.keepWithKernel(test.context, IOTRAP_REASON_IO_URING_UNAVAILABLE)
            #expect(test.context.pointee.reason == IOTRAP_REASON_EVENTFD.rawValue)
        }
    }
}
