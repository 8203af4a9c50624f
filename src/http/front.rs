//! How the world gets to this server.

/// What is before the port, which says what a request has to show at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Front {
    /// Programs on this machine, in plain HTTP to a loopback address.
    #[default]
    Local,
    /// Programs on this machine, in TLS to a loopback address.
    LocalTls,
    /// A network, in TLS.
    NetworkTls,
    /// A proxy that ends TLS, in plain HTTP; a network is behind it, wherever it is itself.
    Proxy,
}

impl Front {
    /// Whether a network may come in, for which there have to be credentials.
    #[must_use]
    pub fn faces_network(self) -> bool {
        match self {
            Self::Local | Self::LocalTls => false,
            Self::NetworkTls | Self::Proxy => true,
        }
    }

    pub(super) fn is_tls(self) -> bool {
        match self {
            Self::LocalTls | Self::NetworkTls => true,
            Self::Local | Self::Proxy => false,
        }
    }
}
