extension Help {
    /// The text of `iotrap trace --help` and `iotrap generate --help`.
    static let traces = """
        usage: iotrap generate PROFILE -o FILE [--seconds N] [--scale S] [--seed K]
                               [--set KEY=VALUE]... [--codec raw|zstd] [--force]
               iotrap generate --list
               iotrap generate --show PROFILE [--set KEY=VALUE]...
               iotrap trace info FILE [--json]
               iotrap trace export FILE --to FORMAT -o OUT [--force]
               iotrap trace import IN --from FORMAT -o FILE [--force]
               iotrap trace finish FILE [--force]

        generate  makes a trace from a profile; the same seed makes the same bytes
                  --list           the profiles
                  --show PROFILE   every parameter with its value, unit and meaning
                  --seconds N      how long a load (each profile has its own length)
                  --scale S        sizes of files and bursts times S (1)
                  --seed K         another one makes other random numbers (1)
                  --set KEY=VALUE  a parameter; may be repeated, a later one wins
                  --codec          raw, or zstd: smaller and slower; its bytes depend on the
                                   version of libzstd
        info      what is in a trace: a table, or all of it as JSON
        export    writes a trace as
                  iolog2, iolog3   fio's logs, for fio --read_iolog
                  csv              one line an event, for DuckDB, Spark and spreadsheets
                  json             one object a line
                  perfetto         trace-event JSON, for ui.perfetto.dev
        import    makes a trace from
                  iolog2, iolog3   fio's logs, as of fio --write_iolog
                  strace           the output of strace -f -ttt -T
                  blkparse         the text of blkparse, default format
        finish    makes the trace of an iotrap record that was killed; see iotrap record --help
        What a format cannot express is counted on the standard error output.

        Files are made with mode 0600 and never replaced without --force.
        Exit status: 1 when a file cannot be read or made, with the place of the damage; 2 for a
        wrong option or parameter.

        """
}
