"""`python -m lit_textclf`."""

from lit_textclf.command_line import main_script

if __name__ == "__main__":
    main_script()
