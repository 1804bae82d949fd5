/* Empty: bcc asks for this file, and brings what it needs of it itself. */
