try:
    from llmhard.cli import main
except KeyboardInterrupt:  # Ctrl-C while it is still loading
    raise SystemExit(130) from None

raise SystemExit(main())
