/// The texts of `iotrap replay --help` and its kin.
enum ReplayHelp {
    static let replay = """
        usage: iotrap replay FILE --on DIR [OPTION]...

        Makes the files of a trace in DIR and repeats its I/O there. DIR must be empty, or made by
        iotrap replay; nothing outside of it is touched, and no link in it is followed.

        --on DIR         where the files are made; they stay, for the next replay
        --engine NAME    sync (pread, pwrite, threads), libaio, uring (default), posixaio
        --pace PACE      recorded (default), asap: as fast as dependencies and depth allow,
                         x10: ten times as fast
        --threads N      keep (default): as many as were recorded, 256 at most; or a number
        --verify         every block says what it is, and every read is checked; at the end
                         all files are
        --repeat N       runs, for iotrap compare
        --json OUT       also writes the results to a file
        --force          uses a DIR that holds other files; those that the trace names are
                         overwritten
        --iotrap         under the library, with --mode, --set and --pool as of iotrap run

        Several machines, or processes, share a trace when mpirun or srun starts them, which say
        who is which, or with these options (a Kubernetes indexed job needs --ranks):

        --results DIR    a directory that all of them see: they wait there until all are ready,
                         begin together, and leave DIR/rank-K.json for iotrap compare --merge
        --rank K         which one this is, from 0 on
        --ranks N        how many there are; 1: all of the trace here, whatever the launcher says
        --share WAY      file (default): each file is one rank's; thread: each recorded thread is.
                         What events of different ranks had to wait for is not kept, but counted
        --start-within S seconds that the others may take to be ready (300)

        Ctrl-C ends a run early and prints what it measured; a second one ends it at once.
        Exit status: 0; 1 when requests failed or blocks were wrong; 2 for wrong input;
        130 when it was interrupted.

        """

    static let compare = """
        usage: iotrap compare A.json B.json... [--json]
               iotrap compare --merge RANK.json... [-o OUT] [--json]

        Shows results of iotrap replay --json side by side: the mean of the runs of each file, the
        ratio to the first one, and the interval that holds the true ratio with 95 % probability.
        Where that interval holds 1, no difference was seen: more runs (--repeat) make it narrower.
        Interrupted runs do not count.

        --merge          joins the results of all ranks of one replay: sums over the time from the
                         first start to the last end, percentiles of all requests together
        -o OUT           also writes that to a file, which can be compared in turn
        --json           for programs

        """

    static let kpi = """
        usage: iotrap kpi --volume data|log DIR [OPTION]...

        Measures the figures of SAP HANA's hardware certification for enterprise storage on a file
        in DIR, with libaio and O_DIRECT, and judges each: the least MiB/s with many requests in
        flight, the mean latency of requests made one at a time, and the trigger ratio (the time
        inside io_submit, divided by that of the I/O), which must be at most 0.1. DIR must be
        empty, or made by iotrap replay or kpi. Full size needs 16 GiB of room.

        --volume NAME    data: random, log: sequential
        --quick          files of a 64th of the size, 32 blocks at least; no certification run,
                         and it says so
        --both           plain and under iotrap, each line of the table in turns
        --json OUT       also writes the results to a file
        --force          uses a DIR that holds other files
        --iotrap         under the library, with --mode, --set and --pool as of iotrap run

        Exit status: 0 when every cell passes, 1 when one does not, 2 for wrong input.

        """
}
