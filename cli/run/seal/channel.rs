//! Messages between the processes of a sealed run, over socket pairs.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

/// A message: one byte for its kind, then a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// To the waiter: the process ID that will be the command's, with its pidfd.
    Command(i32),
    /// To the waiter: this signal has stopped the command.
    Stopped(i32),
    /// To the waiter: the command has ended, with this status of wait(2).
    Ended(i32),
    /// The same, and it was the last process of the tree: the keeper ends now.
    Last(i32),
    /// To the command: the ID of one of the keeper's threads.
    Thread(i32),
    /// To the command: it may go on.
    GoOn,
    /// From the command: with the seccomp listener.
    Listener,
}

impl Message {
    fn bytes(self) -> [u8; 5] {
        let (word, number) = match self {
            Self::Command(process) => (1, process),
            Self::Stopped(signal) => (2, signal),
            Self::Ended(status) => (3, status),
            Self::Last(status) => (4, status),
            Self::GoOn => (5, 0),
            Self::Listener => (6, 0),
            Self::Thread(thread) => (7, thread),
        };
        let [a, b, c, d] = number.to_ne_bytes();
        [word, a, b, c, d]
    }

    fn read([word, a, b, c, d]: [u8; 5]) -> Option<Self> {
        let number = i32::from_ne_bytes([a, b, c, d]);
        Some(match word {
            1 => Self::Command(number),
            2 => Self::Stopped(number),
            3 => Self::Ended(number),
            4 => Self::Last(number),
            5 => Self::GoOn,
            6 => Self::Listener,
            7 => Self::Thread(number),
            _ => return None,
        })
    }
}

/// One end of a channel.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Both ends of a new channel, close-on-exec.
    ///
    /// # Errors
    /// As the system says.
    pub fn pair() -> Result<(Self, Self), Errno> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(one), Self(other)))
    }

    /// # Errors
    /// As `sendmsg(2)`: `EPIPE` if the other end is gone.
    pub fn send(&self, message: Message, descriptor: Option<&OwnedFd>) -> Result<(), Errno> {
        let bytes = message.bytes();
        let raw = descriptor.map(|it| [it.as_raw_fd()]);
        let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
        let own = self.0.as_raw_fd();
        let parts = [IoSlice::new(&bytes)];
        sendmsg::<()>(own, &parts, rights.as_slice(), MsgFlags::MSG_NOSIGNAL, None).map(drop)
    }

    /// Waits for a message; `None` if the other end is gone.
    ///
    /// # Errors
    /// As the system says.
    pub fn receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>, Errno> {
        let mut bytes = [0; 5];
        let mut room = nix::cmsg_space!([i32; 1]);
        loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let own = self.0.as_raw_fd();
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let received = match recvmsg::<()>(own, &mut parts, Some(&mut room), flags) {
                Err(Errno::EINTR) => continue,
                received => received?,
            };
            let length = received.bytes;
            let mut descriptor = None;
            for control in received.cmsgs()? {
                if let ControlMessageOwned::ScmRights(rights) = control {
                    for raw in rights {
                        // SAFETY: the kernel has just made this descriptor for us.
                        descriptor = Some(unsafe { OwnedFd::from_raw_fd(raw) });
                    }
                }
            }
            if length == 0 {
                return Ok(None);
            }
            return match Message::read(bytes) {
                Some(message) if length == bytes.len() => Ok(Some((message, descriptor))),
                _ => Err(Errno::EBADMSG),
            };
        }
    }

    /// The descriptor, to poll.
    pub fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Channel, Message};

    #[test]
    fn messages_and_descriptors_arrive_as_they_were_sent() {
        let (one, other) = Channel::pair().unwrap();
        let messages = [
            Message::Command(7),
            Message::Stopped(20),
            Message::Ended(-1),
            Message::Last(0x7f00),
            Message::Thread(8),
            Message::GoOn,
        ];
        for message in messages {
            one.send(message, None).unwrap();
        }
        for message in messages {
            let (received, descriptor) = other.receive().unwrap().unwrap();
            assert_eq!((received, descriptor.is_none()), (message, true));
        }
        let (third, fourth) = Channel::pair().unwrap();
        one.send(Message::Listener, Some(third.descriptor())).unwrap();
        let (received, descriptor) = other.receive().unwrap().unwrap();
        assert_eq!(received, Message::Listener);
        drop(third);
        let third = Channel(descriptor.unwrap());
        third.send(Message::GoOn, None).unwrap();
        assert_eq!(fourth.receive().unwrap().unwrap().0, Message::GoOn);
        drop(one);
        assert!(other.receive().unwrap().is_none());
        assert!(other.send(Message::GoOn, None).is_err());
    }
}
