! SPDX-License-Identifier: BSD-3-Clause
!
! Surrogates in a Fortran host: open a file, ask what it is, evaluate it. Fortran 2008, nothing but
! iso_c_binding; compile this file with the host and link libsimgraft (docs/hosts.md).
!
!     use simgraft
!     type(sg_surrogate) :: rates
!     type(sg_error)     :: error
!     type(sg_guard)     :: guard
!     integer(sg_byte), allocatable :: work(:)
!
!     call rates%open("rates.sg", error)
!     if (error%status /= SG_OK) error stop trim(error%message)
!     allocate (work(rates%workspace_bytes()))                  ! one per thread
!     do step = 1, n_steps
!        call rates%eval(x, y, work, error, guard)              ! x(n_in, n), y(n_out, n)
!        if (error%status /= SG_OK) ...
!     end do
!     if (guard%n_outside > 0) ...
!
! Memory order. A row is what the kernel sees in one cell: n_in inputs, n_out outputs.
!     eval          x(n_in, n), y(n_out, n): the values of a cell lie next to each other
!     eval_columns  x(n, n_in), y(n, n_out): each variable is an array over the cells, as most models have it
!     eval          x(n_in), y(n_out): one cell
! Sections with strides, such as x(:, 1:n:2) or state(1:n_in, :, k), are read and written where they are: nothing
! is copied. Outputs have the same bits for either order, any section, any n and any number of threads, and the
! same bits as in C and Python. Single and double precision arrays are both taken; those of a call have one kind.
!
! Derivatives, with a workspace of derivative_workspace_bytes() and in the same two orders (jvp_columns,
! vjp_columns):
!     jvp(x, dx, dy, ...)  dy = J dx,   tangent-linear: what a small change dx of the inputs does to the outputs
!     vjp(x, dy, dx, ...)  dx = J^T dy, adjoint: gradient, with respect to the inputs, of the outputs weighted by dy
!
! Errors. Every call sets error%status; the texts are written on failure only. Nothing is printed or stopped.
!
! Threads. An open surrogate never changes: threads share it, each with its own work, guard and error. In OpenMP
! make work private and allocate it inside the parallel region; make guard and error firstprivate, since not every
! compiler gives private variables their starting values. Calls allocate nothing. A host without threads of its own
! asks for some: eval(..., num_threads=4) with workspace_bytes(num_threads=4). Procedures are recursive, which in
! Fortran 2008 is what makes them safe in threads.
!
! Copies. `b = a` gives another name of the same surrogate; the variable that opened it owns it, and closes it in
! close, when it is opened again, or when it goes out of scope.
module simgraft
   use, intrinsic :: iso_c_binding, only: &
      c_char, c_int, c_int8_t, c_size_t, c_ptrdiff => c_intptr_t, c_float, c_double, c_null_char, &
      c_ptr, c_funptr, c_null_ptr, c_null_funptr, c_loc, c_funloc, c_f_pointer, c_associated
   implicit none
   private

   public :: sg_surrogate, sg_guard, sg_error, sg_info, sg_variable, sg_kernel_row, sg_derivative_row
   public :: sg_version, sg_status_text

   integer, parameter, public :: sg_byte  = c_int8_t !! kind of workspaces and row flags
   integer, parameter, public :: sg_count = c_size_t !! kind of counts

   !! Numbers of simgraft/status.h.
   integer(c_int), parameter, public :: &
      SG_OK = 0, SG_ERR_MEMORY = 1, SG_ERR_VALUE = 2, SG_ERR_TYPE = 3, SG_ERR_SHAPE = 4, SG_ERR_DOMAIN = 5, &
      SG_ERR_NOT_FINITE = 6, SG_ERR_IO = 7, SG_ERR_FORMAT = 8, SG_ERR_CHECKSUM = 9, SG_ERR_VERSION = 10, &
      SG_ERR_NOT_FOUND = 11, SG_ERR_EXISTS = 12, SG_ERR_CHANGED = 13, SG_ERR_INTERRUPTED = 14, &
      SG_ERR_UNSUPPORTED = 15, SG_ERR_DIVERGED = 16, SG_ERR_INTERNAL = 17

   !! What the guard does with a row outside the domain: evaluate and count it, stop, call the kernel. UNCHECKED
   !! looks at no row, it counts calls and rows only.
   integer(c_int), parameter, public :: &
      SG_GUARD_COUNT = 0, SG_GUARD_STOP = 1, SG_GUARD_FALLBACK = 2, SG_GUARD_UNCHECKED = 3

   !! Reasons, summed in row flags: an input outside its range, inputs far from the training data together, NaN
   !! or infinity.
   integer(c_int), parameter, public :: SG_OUTSIDE_BOX = 1, SG_OUTSIDE_DENSITY = 2, SG_OUTSIDE_NOT_FINITE = 4

   !! One error report. argument and message are those of the last failure.
   type :: sg_error
      integer(c_int) :: status   = SG_OK
      character(64)  :: argument = "" !! name of the argument, variable or file that is to blame
      character(512) :: message  = "" !! full sentence
   end type

   !! What a surrogate is.
   type :: sg_info
      character(:), allocatable :: name          !! of the kernel it replaces
      character(:), allocatable :: version       !! of that kernel
      character(:), allocatable :: description   !! JSON: kernel, encoder, decoder, guard, provenance
      integer           :: n_in = 0, n_out = 0     !! values of a row
      integer(sg_count) :: n_parameters  = 0       !! of the network
      real(c_double)    :: flops_per_row = 0       !! multiplications and additions of the network
      integer           :: network_bits  = 0       !! 32: the network computes in single, 64: in double
      logical           :: has_domain    = .false. !! the guard can tell rows outside
      real(c_double)    :: max_distance  = 0       !! to the training data, that counts as inside
   end type

   !! One input or output.
   type :: sg_variable
      character(:), allocatable :: name !! "pressure", or "profile[3]", counted from 0, of a variable with a shape
      character(:), allocatable :: unit !! "Pa", "1" for a pure number
      real(c_double) :: low = 0, high = 0 !! domain; infinite where nothing is known
   end type

   abstract interface
      !! The kernel of the host, for rows outside the domain. Must be callable from every thread that evaluates.
      subroutine sg_kernel_row(x, y, status)
         import :: c_double, c_int
         real(c_double), intent(in)  :: x(:)   !! (n_in)  inputs of one row, in the order and units of input()
         real(c_double), intent(out) :: y(:)   !! (n_out) outputs
         integer(c_int), intent(out) :: status !! 0 for success
      end subroutine
      !! Its derivative. For jvp d (n_in) is a direction and r (n_out) the change of the outputs along it; for vjp
      !! d (n_out) are weights of the outputs and r (n_in) the gradient.
      subroutine sg_derivative_row(x, d, r, status)
         import :: c_double, c_int
         real(c_double), intent(in)  :: x(:) !! (n_in)
         real(c_double), intent(in)  :: d(:)
         real(c_double), intent(out) :: r(:)
         integer(c_int), intent(out) :: status
      end subroutine
   end interface

   !! Domain guard: wishes, set before an evaluation, and counts, added to by every evaluation. One per thread.
   type :: sg_guard
      integer(c_int)                                :: policy = SG_GUARD_COUNT
      procedure(sg_kernel_row), pointer, nopass     :: fallback     => null() !! for SG_GUARD_FALLBACK in eval
      procedure(sg_derivative_row), pointer, nopass :: fallback_jvp => null() !! the same in jvp
      procedure(sg_derivative_row), pointer, nopass :: fallback_vjp => null() !! the same in vjp
      integer(sg_byte), pointer, contiguous  :: row_flags(:)        => null() !! (n) of each call: SG_OUTSIDE_... or 0
      integer(sg_count), pointer, contiguous :: outside_of_input(:) => null() !! (n_in) values outside, added up
      integer(sg_count) :: n_calls      = 0
      integer(sg_count) :: n_rows       = 0 !! rows looked at
      integer(sg_count) :: n_outside    = 0 !! rows outside for any reason
      integer(sg_count) :: n_box        = 0, n_density = 0, n_not_finite = 0 !! by reason, or several
      integer(sg_count) :: n_fallback   = 0 !! rows the kernel computed
      integer(sg_count) :: first_row    = 0 !! first row outside, counted from 1 over all calls; 0: none
      integer           :: first_input  = 0 !! its input to blame, 0 for the density
      real(c_double)    :: first_value  = 0 !! value of that input, or the distance
      integer(c_int)    :: first_flags  = 0 !! its SG_OUTSIDE_...
   contains
      procedure :: add => guard_add !! adds the counts of another guard: sums over threads
   end type

   type :: sg_surrogate
      private
      type(c_ptr) :: handle = c_null_ptr
      integer     :: inputs = 0, outputs = 0
      logical     :: owner  = .false.
   contains
      procedure :: open            => surrogate_open
      procedure :: close           => surrogate_close
      procedure :: is_open         => surrogate_is_open
      procedure :: n_in            => surrogate_n_in
      procedure :: n_out           => surrogate_n_out
      procedure :: describe        => surrogate_describe
      procedure :: input           => surrogate_input
      procedure :: output          => surrogate_output
      procedure :: explain         => surrogate_explain
      procedure :: workspace_bytes => surrogate_workspace_bytes
      procedure :: derivative_workspace_bytes => surrogate_derivative_workspace_bytes
      procedure, private :: eval_row_f32, eval_row_f64, eval_f32, eval_f64, eval_columns_f32, eval_columns_f64
      procedure, private :: jvp_f32, jvp_f64, jvp_columns_f32, jvp_columns_f64
      procedure, private :: vjp_f32, vjp_f64, vjp_columns_f32, vjp_columns_f64
      procedure, private :: alias
      generic   :: eval          => eval_row_f32, eval_row_f64, eval_f32, eval_f64
      generic   :: eval_columns  => eval_columns_f32, eval_columns_f64
      generic   :: jvp           => jvp_f32, jvp_f64
      generic   :: jvp_columns   => jvp_columns_f32, jvp_columns_f64
      generic   :: vjp           => vjp_f32, vjp_f64
      generic   :: vjp_columns   => vjp_columns_f32, vjp_columns_f64
      generic   :: assignment(=) => alias
      final     :: surrogate_end
   end type

   !! -------------------------------------------------------------------------------- the C interface

   type, bind(c) :: c_error
      integer(c_int)         :: status
      character(kind=c_char) :: argument(64)
      character(kind=c_char) :: message(512)
   end type

   type, bind(c) :: c_info
      type(c_ptr)       :: name, version, description
      integer(c_size_t) :: n_in, n_out, n_parameters
      real(c_double)    :: flops_per_row
      integer(c_int)    :: network_bits, has_domain
      real(c_double)    :: max_distance
   end type

   type, bind(c) :: c_variable
      type(c_ptr)    :: name, unit
      real(c_double) :: low, high
   end type

   type, bind(c) :: c_guard
      integer(c_int)     :: policy
      type(c_funptr)     :: fallback, fallback_jvp, fallback_vjp
      type(c_ptr)        :: fallback_context, row_flags, outside_of_input
      integer(c_size_t)  :: n_calls, n_rows, n_outside, n_box, n_density, n_not_finite, n_fallback, first_row
      integer(c_ptrdiff) :: first_input
      real(c_double)     :: first_value
      integer(c_int)     :: first_flags
   end type

   !! What call_kernel and call_derivative need to call a Fortran procedure.
   type :: fallback_call
      procedure(sg_kernel_row), pointer, nopass     :: kernel     => null()
      procedure(sg_derivative_row), pointer, nopass :: derivative => null()
      integer :: n_in = 0, n_out = 0, n_d = 0, n_r = 0
   end type

   interface
      function c_version() result(text) bind(c, name="sg_version")
         import :: c_ptr
         type(c_ptr) :: text
      end function
      function c_status_text(status) result(text) bind(c, name="sg_status_text")
         import :: c_ptr, c_int
         integer(c_int), value :: status
         type(c_ptr)           :: text
      end function
      function c_open(path, surrogate, error) result(status) bind(c, name="sg_surrogate_open")
         import :: c_ptr, c_int, c_char, c_error
         character(kind=c_char), intent(in) :: path(*)
         type(c_ptr), intent(out)           :: surrogate
         type(c_error), intent(inout)       :: error
         integer(c_int)                     :: status
      end function
      subroutine c_close(surrogate) bind(c, name="sg_surrogate_close")
         import :: c_ptr
         type(c_ptr), value :: surrogate
      end subroutine
      function c_describe(surrogate) result(info) bind(c, name="sg_surrogate_describe")
         import :: c_ptr, c_info
         type(c_ptr), value :: surrogate
         type(c_info)       :: info
      end function
      function c_input(surrogate, i) result(variable) bind(c, name="sg_surrogate_input")
         import :: c_ptr, c_size_t, c_variable
         type(c_ptr), value       :: surrogate
         integer(c_size_t), value :: i
         type(c_variable)         :: variable
      end function
      function c_output(surrogate, i) result(variable) bind(c, name="sg_surrogate_output")
         import :: c_ptr, c_size_t, c_variable
         type(c_ptr), value       :: surrogate
         integer(c_size_t), value :: i
         type(c_variable)         :: variable
      end function
      function c_workspace_bytes(surrogate) result(bytes) bind(c, name="sg_surrogate_workspace_bytes")
         import :: c_ptr, c_size_t
         type(c_ptr), value :: surrogate
         integer(c_size_t)  :: bytes
      end function
      function c_explain(surrogate, guard, error) result(status) bind(c, name="sg_guard_explain")
         import :: c_ptr, c_int, c_guard, c_error
         type(c_ptr), value           :: surrogate
         type(c_guard), intent(in)    :: guard
         type(c_error), intent(inout) :: error
         integer(c_int)               :: status
      end function
      function c_derivative_bytes(surrogate) result(bytes) bind(c, name="sg_surrogate_derivative_workspace_bytes")
         import :: c_ptr, c_size_t
         type(c_ptr), value :: surrogate
         integer(c_size_t)  :: bytes
      end function
      function c_threads_bytes(surrogate, num_threads) result(bytes) &
         bind(c, name="sg_surrogate_threads_workspace_bytes")
         import :: c_ptr, c_int, c_size_t
         type(c_ptr), value    :: surrogate
         integer(c_int), value :: num_threads
         integer(c_size_t)     :: bytes
      end function
      function c_eval_f32(surrogate, n, x, x_row, x_col, y, y_row, y_col, workspace, guard) result(status) &
         bind(c, name="sg_surrogate_eval_f32")
         import :: c_ptr, c_int, c_size_t, c_ptrdiff
         type(c_ptr), value        :: surrogate, x, y, workspace, guard
         integer(c_size_t), value  :: n
         integer(c_ptrdiff), value :: x_row, x_col, y_row, y_col
         integer(c_int)            :: status
      end function
      function c_threads_f32(surrogate, n, x, x_row, x_col, y, y_row, y_col, num_threads, workspace, guard) &
         result(status) bind(c, name="sg_surrogate_eval_threads_f32")
         import :: c_ptr, c_int, c_size_t, c_ptrdiff
         type(c_ptr), value        :: surrogate, x, y, workspace, guard
         integer(c_size_t), value  :: n
         integer(c_ptrdiff), value :: x_row, x_col, y_row, y_col
         integer(c_int), value     :: num_threads
         integer(c_int)            :: status
      end function
      function c_eval_f64(surrogate, n, x, x_row, x_col, y, y_row, y_col, workspace, guard) result(status) &
         bind(c, name="sg_surrogate_eval_f64")
         import :: c_ptr, c_int, c_size_t, c_ptrdiff
         type(c_ptr), value        :: surrogate, x, y, workspace, guard
         integer(c_size_t), value  :: n
         integer(c_ptrdiff), value :: x_row, x_col, y_row, y_col
         integer(c_int)            :: status
      end function
      function c_threads_f64(surrogate, n, x, x_row, x_col, y, y_row, y_col, num_threads, workspace, guard) &
         result(status) bind(c, name="sg_surrogate_eval_threads_f64")
         import :: c_ptr, c_int, c_size_t, c_ptrdiff
         type(c_ptr), value        :: surrogate, x, y, workspace, guard
         integer(c_size_t), value  :: n
         integer(c_ptrdiff), value :: x_row, x_col, y_row, y_col
         integer(c_int), value     :: num_threads
         integer(c_int)            :: status
      end function
      function c_jvp_f32(surrogate, n, x, x_row, x_col, d, d_row, d_col, r, r_row, r_col, workspace, guard) &
         result(status) bind(c, name="sg_surrogate_jvp_f32")
         import :: c_ptr, c_int, c_size_t, c_ptrdiff
         type(c_ptr), value        :: surrogate, x, d, r, workspace, guard
         integer(c_size_t), value  :: n
         integer(c_ptrdiff), value :: x_row, x_col, d_row, d_col, r_row, r_col
         integer(c_int)            :: status
      end function
      function c_jvp_f64(surrogate, n, x, x_row, x_col, d, d_row, d_col, r, r_row, r_col, workspace, guard) &
         result(status) bind(c, name="sg_surrogate_jvp_f64")
         import :: c_ptr, c_int, c_size_t, c_ptrdiff
         type(c_ptr), value        :: surrogate, x, d, r, workspace, guard
         integer(c_size_t), value  :: n
         integer(c_ptrdiff), value :: x_row, x_col, d_row, d_col, r_row, r_col
         integer(c_int)            :: status
      end function
      function c_vjp_f32(surrogate, n, x, x_row, x_col, d, d_row, d_col, r, r_row, r_col, workspace, guard) &
         result(status) bind(c, name="sg_surrogate_vjp_f32")
         import :: c_ptr, c_int, c_size_t, c_ptrdiff
         type(c_ptr), value        :: surrogate, x, d, r, workspace, guard
         integer(c_size_t), value  :: n
         integer(c_ptrdiff), value :: x_row, x_col, d_row, d_col, r_row, r_col
         integer(c_int)            :: status
      end function
      function c_vjp_f64(surrogate, n, x, x_row, x_col, d, d_row, d_col, r, r_row, r_col, workspace, guard) &
         result(status) bind(c, name="sg_surrogate_vjp_f64")
         import :: c_ptr, c_int, c_size_t, c_ptrdiff
         type(c_ptr), value        :: surrogate, x, d, r, workspace, guard
         integer(c_size_t), value  :: n
         integer(c_ptrdiff), value :: x_row, x_col, d_row, d_col, r_row, r_col
         integer(c_int)            :: status
      end function
      pure function c_strlen(text) result(n) bind(c, name="strlen")
         import :: c_ptr, c_size_t
         type(c_ptr), value, intent(in) :: text
         integer(c_size_t)              :: n
      end function
   end interface

   !! Where a matrix of the host lies: address of its first element and strides in elements.
   type :: place
      type(c_ptr)        :: first = c_null_ptr
      integer(c_ptrdiff) :: row = 0, col = 0
      logical            :: whole = .true. !! strides are whole numbers of elements
   end type

   integer, parameter :: EVAL = 1, JVP = 2, VJP = 3

contains

   !! ---------------------------------------------------------------------------------------- texts and errors

   !! Version of the library in use, "major.minor.patch".
   recursive function sg_version() result(text)
      character(:), allocatable :: text
      text = text_of(c_version())
   end function

   !! Text of a status number.
   recursive function sg_status_text(status) result(text)
      integer(c_int), intent(in) :: status
      character(:), allocatable  :: text
      text = text_of(c_status_text(status))
   end function

   recursive function text_of(pointer) result(text)
      type(c_ptr), intent(in)         :: pointer !! to a text that ends with NUL
      character(:), allocatable       :: text
      character(kind=c_char), pointer :: letters(:)
      integer :: i
      call c_f_pointer(pointer, letters, [c_strlen(pointer)])
      allocate (character(size(letters)) :: text)
      do i = 1, size(letters)
         text(i:i) = letters(i)
      end do
   end function

   recursive subroutine copy_text(letters, text)
      character(kind=c_char), intent(in) :: letters(:) !! ends with NUL
      character(*), intent(out)          :: text
      integer :: i
      text = ""
      do i = 1, min(size(letters), len(text))
         if (letters(i) == c_null_char) exit
         text(i:i) = letters(i)
      end do
   end subroutine

   recursive subroutine take_error(from, status, error)
      type(c_error), intent(in)     :: from
      integer(c_int), intent(in)    :: status
      type(sg_error), intent(inout) :: error
      error%status = status
      if (status == SG_OK) return
      call copy_text(from%argument, error%argument)
      call copy_text(from%message, error%message)
   end subroutine

   recursive subroutine fail(error, status, argument, message)
      type(sg_error), intent(inout) :: error
      integer(c_int), intent(in)    :: status
      character(*), intent(in)      :: argument, message
      error%status   = status
      error%argument = argument
      error%message  = argument // ": " // message
   end subroutine

   recursive subroutine fail_shape(error, argument, expected, got)
      type(sg_error), intent(inout) :: error
      character(*), intent(in)      :: argument
      integer, intent(in)           :: expected(:), got(:)
      character(100) :: text
      if (size(got) == 1) then
         write (text, '("expected shape (", i0, "), got (", i0, ")")') expected, got
      else
         write (text, '("expected shape (", i0, ", ", i0, "), got (", i0, ", ", i0, ")")') expected, got
      end if
      call fail(error, SG_ERR_SHAPE, argument, trim(text))
   end subroutine

   !! ------------------------------------------------------------------------------------- open and describe

   !! Reads a surrogate file; its checksum is verified.
   recursive subroutine surrogate_open(self, path, error)
      class(sg_surrogate), intent(inout) :: self
      character(*), intent(in)           :: path !! trailing blanks do not count
      type(sg_error), intent(inout)      :: error
      type(c_error)  :: c_report
      type(c_info)   :: info
      integer(c_int) :: status
      call self%close()
      status = c_open(trim(path) // c_null_char, self%handle, c_report)
      call take_error(c_report, status, error)
      if (status /= SG_OK) return
      self%owner   = .true.
      info         = c_describe(self%handle)
      self%inputs  = int(info%n_in)
      self%outputs = int(info%n_out)
   end subroutine

   !! Frees a surrogate. No thread may be using it.
   recursive subroutine surrogate_close(self)
      class(sg_surrogate), intent(inout) :: self
      if (self%owner) call c_close(self%handle)
      self%handle  = c_null_ptr
      self%owner   = .false.
      self%inputs  = 0
      self%outputs = 0
   end subroutine

   recursive subroutine surrogate_end(self)
      type(sg_surrogate), intent(inout) :: self
      call self%close()
   end subroutine

   recursive subroutine alias(self, other)
      class(sg_surrogate), intent(inout) :: self
      class(sg_surrogate), intent(in)    :: other
      type(c_ptr) :: handle
      integer     :: inputs, outputs
      handle  = other%handle
      inputs  = other%inputs
      outputs = other%outputs
      if (self%owner .and. c_associated(self%handle, handle)) return ! a = a, or the owner gets its name back
      call self%close()
      self%handle  = handle
      self%inputs  = inputs
      self%outputs = outputs
   end subroutine

   pure recursive logical function surrogate_is_open(self)
      class(sg_surrogate), intent(in) :: self
      surrogate_is_open = self%inputs > 0
   end function

   !! Inputs of a row; 0 while nothing is open.
   pure recursive integer function surrogate_n_in(self)
      class(sg_surrogate), intent(in) :: self
      surrogate_n_in = self%inputs
   end function

   !! Outputs of a row.
   pure recursive integer function surrogate_n_out(self)
      class(sg_surrogate), intent(in) :: self
      surrogate_n_out = self%outputs
   end function

   !! What it is; empty texts and zeros while nothing is open.
   recursive function surrogate_describe(self) result(info)
      class(sg_surrogate), intent(in) :: self
      type(sg_info) :: info
      type(c_info)  :: c
      info%name        = ""
      info%version     = ""
      info%description = ""
      if (.not. self%is_open()) return
      c                  = c_describe(self%handle)
      info%name          = text_of(c%name)
      info%version       = text_of(c%version)
      info%description   = text_of(c%description)
      info%n_in          = int(c%n_in)
      info%n_out         = int(c%n_out)
      info%n_parameters  = c%n_parameters
      info%flops_per_row = c%flops_per_row
      info%network_bits  = int(c%network_bits)
      info%has_domain    = c%has_domain /= 0
      info%max_distance  = c%max_distance
   end function

   !! Input i, from 1 to n_in(). An index beyond gives empty texts and zeros.
   recursive function surrogate_input(self, i) result(variable)
      class(sg_surrogate), intent(in) :: self
      integer, intent(in)             :: i
      type(sg_variable) :: variable
      type(c_variable)  :: c
      variable%name = ""
      variable%unit = ""
      if (i < 1 .or. i > self%inputs) return
      c             = c_input(self%handle, int(i - 1, c_size_t))
      variable%name = text_of(c%name)
      variable%unit = text_of(c%unit)
      variable%low  = c%low
      variable%high = c%high
   end function

   !! Output i, from 1 to n_out(). An index beyond gives empty texts and zeros.
   recursive function surrogate_output(self, i) result(variable)
      class(sg_surrogate), intent(in) :: self
      integer, intent(in)             :: i
      type(sg_variable) :: variable
      type(c_variable)  :: c
      variable%name = ""
      variable%unit = ""
      if (i < 1 .or. i > self%outputs) return
      c             = c_output(self%handle, int(i - 1, c_size_t))
      variable%name = text_of(c%name)
      variable%unit = text_of(c%unit)
      variable%low  = c%low
      variable%high = c%high
   end function

   !! Bytes of workspace for eval on num_threads threads (default 1), for any number of rows.
   recursive function surrogate_workspace_bytes(self, num_threads) result(bytes)
      class(sg_surrogate), intent(in) :: self
      integer, intent(in), optional   :: num_threads
      integer(sg_count) :: bytes
      bytes = 0
      if (.not. self%is_open()) return
      if (present(num_threads)) then
         bytes = c_threads_bytes(self%handle, int(num_threads, c_int))
      else
         bytes = c_workspace_bytes(self%handle)
      end if
   end function

   !! Bytes of workspace for jvp and vjp; enough for eval too.
   recursive function surrogate_derivative_workspace_bytes(self) result(bytes)
      class(sg_surrogate), intent(in) :: self
      integer(sg_count) :: bytes
      bytes = 0
      if (self%is_open()) bytes = c_derivative_bytes(self%handle)
   end function

   !! ------------------------------------------------------------------------------------------------- guard

   recursive subroutine guard_add(self, other)
      class(sg_guard), intent(inout) :: self
      class(sg_guard), intent(in)    :: other
      if (self%first_flags == 0 .and. other%first_flags /= 0) then
         self%first_row   = self%n_rows + other%first_row
         self%first_input = other%first_input
         self%first_value = other%first_value
         self%first_flags = other%first_flags
      end if
      self%n_calls      = self%n_calls + other%n_calls
      self%n_rows       = self%n_rows + other%n_rows
      self%n_outside    = self%n_outside + other%n_outside
      self%n_box        = self%n_box + other%n_box
      self%n_density    = self%n_density + other%n_density
      self%n_not_finite = self%n_not_finite + other%n_not_finite
      self%n_fallback   = self%n_fallback + other%n_fallback
   end subroutine

   !! Tells in error what is known of the first row outside: variable, row, value, limit. Status
   !! SG_ERR_DOMAIN or SG_ERR_NOT_FINITE; SG_OK when no row was outside. Rows are counted from 0 in the text.
   recursive subroutine surrogate_explain(self, guard, error)
      class(sg_surrogate), intent(in) :: self
      type(sg_guard), intent(in)      :: guard
      type(sg_error), intent(inout)   :: error
      type(c_error) :: c_report
      integer(c_int) :: status
      status = c_explain(self%handle, c_guard_of(guard), c_report)
      call take_error(c_report, status, error)
   end subroutine

   recursive function c_guard_of(guard) result(c)
      type(sg_guard), intent(in) :: guard
      type(c_guard) :: c
      c%policy           = guard%policy
      c%fallback         = c_null_funptr
      c%fallback_jvp     = c_null_funptr
      c%fallback_vjp     = c_null_funptr
      c%fallback_context = c_null_ptr
      c%row_flags        = c_null_ptr
      c%outside_of_input = c_null_ptr
      if (associated(guard%row_flags)) c%row_flags = c_loc(guard%row_flags)
      if (associated(guard%outside_of_input)) c%outside_of_input = c_loc(guard%outside_of_input)
      c%n_calls      = guard%n_calls
      c%n_rows       = guard%n_rows
      c%n_outside    = guard%n_outside
      c%n_box        = guard%n_box
      c%n_density    = guard%n_density
      c%n_not_finite = guard%n_not_finite
      c%n_fallback   = guard%n_fallback
      c%first_row    = guard%first_row - 1
      c%first_input  = int(guard%first_input - 1, c_ptrdiff)
      c%first_value  = guard%first_value
      c%first_flags  = guard%first_flags
   end function

   recursive subroutine take_counts(c, guard)
      type(c_guard), intent(in)     :: c
      type(sg_guard), intent(inout) :: guard
      guard%n_calls      = c%n_calls
      guard%n_rows       = c%n_rows
      guard%n_outside    = c%n_outside
      guard%n_box        = c%n_box
      guard%n_density    = c%n_density
      guard%n_not_finite = c%n_not_finite
      guard%n_fallback   = c%n_fallback
      if (c%first_flags == 0) return
      guard%first_row   = c%first_row + 1
      guard%first_input = int(c%first_input) + 1
      guard%first_value = c%first_value
      guard%first_flags = c%first_flags
   end subroutine

   recursive function call_kernel(n, x, y, context) result(status) bind(c)
      integer(c_size_t), value     :: n
      type(c_ptr), value           :: x, y, context
      integer(c_int)               :: status
      type(fallback_call), pointer :: back
      real(c_double), pointer      :: in(:, :), out(:, :)
      integer(c_size_t) :: i
      call c_f_pointer(context, back)
      call c_f_pointer(x, in, [int(back%n_in, c_size_t), n])
      call c_f_pointer(y, out, [int(back%n_out, c_size_t), n])
      status = 0
      do i = 1, n
         call back%kernel(in(:, i), out(:, i), status)
         if (status /= 0) return
      end do
   end function

   recursive function call_derivative(n, x, d, r, context) result(status) bind(c)
      integer(c_size_t), value     :: n
      type(c_ptr), value           :: x, d, r, context
      integer(c_int)               :: status
      type(fallback_call), pointer :: back
      real(c_double), pointer      :: in(:, :), direction(:, :), derivative(:, :)
      integer(c_size_t) :: i
      call c_f_pointer(context, back)
      call c_f_pointer(x, in, [int(back%n_in, c_size_t), n])
      call c_f_pointer(d, direction, [int(back%n_d, c_size_t), n])
      call c_f_pointer(r, derivative, [int(back%n_r, c_size_t), n])
      status = 0
      do i = 1, n
         call back%derivative(in(:, i), direction(:, i), derivative(:, i), status)
         if (status /= 0) return
      end do
   end function

   !! -------------------------------------------------------------------------------------------- evaluation

   pure recursive function address(pointer) result(number)
      type(c_ptr), intent(in) :: pointer
      integer(c_ptrdiff)      :: number
      number = transfer(pointer, number)
   end function

   !! place of a matrix whose elements (1, 1), (2, 1) and (1, 2) lie at first, down and right.
   pure recursive function placed(first, down, right, bytes, by_column) result(p)
      type(c_ptr), intent(in)        :: first, down, right
      integer(c_ptrdiff), intent(in) :: bytes     !! of an element
      logical, intent(in)            :: by_column !! the first dimension counts the rows
      type(place)        :: p
      integer(c_ptrdiff) :: one, two
      one     = address(down) - address(first)
      two     = address(right) - address(first)
      p%first = first
      p%whole = modulo(one, bytes) == 0 .and. modulo(two, bytes) == 0
      p%row   = merge(one, two, by_column) / bytes
      p%col   = merge(two, one, by_column) / bytes
   end function

   recursive function place_f32(x, by_column) result(p)
      real(c_float), intent(in), target :: x(:, :)
      logical, intent(in)               :: by_column
      type(place) :: p
      if (any(shape(x) == 0)) return
      p = placed(c_loc(x(1, 1)), c_loc(x(min(2, size(x, 1)), 1)), c_loc(x(1, min(2, size(x, 2)))), &
                 4_c_ptrdiff, by_column)
   end function

   recursive function place_f64(x, by_column) result(p)
      real(c_double), intent(in), target :: x(:, :)
      logical, intent(in)                :: by_column
      type(place) :: p
      if (any(shape(x) == 0)) return
      p = placed(c_loc(x(1, 1)), c_loc(x(min(2, size(x, 1)), 1)), c_loc(x(1, min(2, size(x, 2)))), &
                 8_c_ptrdiff, by_column)
   end function

   !! place of one row whose first and second values lie at first and second.
   pure recursive function placed_row(first, second, bytes) result(p)
      type(c_ptr), intent(in)        :: first, second
      integer(c_ptrdiff), intent(in) :: bytes !! of an element
      type(place) :: p
      p = placed(first, second, first, bytes, .false.)
   end function

   !! Every array against (values, n), or (n, values) by column, with n taken from the first.
   recursive logical function fits(self, argument, values, shapes, by_column, work, bytes, error)
      class(sg_surrogate), intent(in) :: self
      character(*), intent(in)        :: argument(:)  !! names
      integer, intent(in)             :: values(:)    !! of a row of each array
      integer, intent(in)             :: shapes(:, :) !! (2, arrays)
      logical, intent(in)             :: by_column
      integer(sg_byte), intent(in)    :: work(:)
      integer(sg_count), intent(in)   :: bytes        !! that work must have
      type(sg_error), intent(inout)   :: error
      integer :: k, wish(2)
      fits = .false.
      if (.not. self%is_open()) then
         call fail(error, SG_ERR_VALUE, "surrogate", "it is not open")
         return
      end if
      do k = 1, size(values)
         wish = merge([shapes(1, 1), values(k)], [values(k), shapes(2, 1)], by_column)
         if (any(shapes(:, k) /= wish)) then
            call fail_shape(error, trim(argument(k)), wish, shapes(:, k))
            return
         end if
      end do
      if (size(work, kind=sg_count) < bytes) then
         call fail(error, SG_ERR_SHAPE, "work", "it has fewer bytes than the surrogate asks for")
         return
      end if
      fits = .true.
   end function

   recursive logical function guard_fits(self, what, n, guard, error)
      class(sg_surrogate), intent(in) :: self
      integer, intent(in)             :: what, n !! rows
      type(sg_guard), intent(in)      :: guard
      type(sg_error), intent(inout)   :: error
      logical :: kernel
      guard_fits = .false.
      if (guard%policy == SG_GUARD_FALLBACK) then
         kernel = associated(guard%fallback)
         if (what == JVP) kernel = associated(guard%fallback_jvp)
         if (what == VJP) kernel = associated(guard%fallback_vjp)
         if (.not. kernel) then
            call fail(error, SG_ERR_VALUE, "guard", "there is no procedure to fall back to")
            return
         end if
      end if
      if (associated(guard%row_flags)) then
         if (size(guard%row_flags) < n) then
            call fail_shape(error, "guard%row_flags", [n], [size(guard%row_flags)])
            return
         end if
      end if
      if (associated(guard%outside_of_input)) then
         if (size(guard%outside_of_input) /= self%inputs) then
            call fail_shape(error, "guard%outside_of_input", [self%inputs], [size(guard%outside_of_input)])
            return
         end if
      end if
      guard_fits = .true.
   end function

   !! Rows that lie where x, d and r tell, whose shapes fit: inputs, what goes in beside them (not in eval), results.
   recursive subroutine run(self, what, bits, n, x, d, r, work, error, guard, num_threads)
      class(sg_surrogate), intent(in)         :: self
      integer, intent(in)                     :: what, bits, n
      type(place), intent(in)                 :: x, d, r
      integer(sg_byte), intent(inout), target :: work(:)
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      integer, intent(in), optional           :: num_threads
      type(c_guard), target       :: c
      type(fallback_call), target :: back
      type(c_ptr)       :: watch, space
      integer(c_int)    :: status, threads
      integer(c_size_t) :: rows
      error%status = SG_OK
      if (.not. (x%whole .and. d%whole .and. r%whole)) then
         call fail(error, SG_ERR_VALUE, "x", "arrays with strides that are no multiple of the size of an element")
         return
      end if
      watch = c_null_ptr
      if (present(guard)) then
         if (.not. guard_fits(self, what, n, guard, error)) return
         c     = c_guard_of(guard)
         watch = c_loc(c)
         if (guard%policy == SG_GUARD_FALLBACK) call set_fallback
      end if
      threads = 0
      if (present(num_threads)) then
         threads = int(num_threads, c_int)
         if (threads < 1) then
            call fail(error, SG_ERR_VALUE, "num_threads", "expected at least 1")
            return
         end if
      end if
      if (n == 0) return
      space = c_loc(work(1))
      rows  = int(n, c_size_t)
      select case (what)
      case (EVAL)
         if (bits == 32 .and. threads /= 0) then
            status = c_threads_f32(self%handle, rows, x%first, x%row, x%col, r%first, r%row, r%col, threads, &
                                   space, watch)
         else if (threads /= 0) then
            status = c_threads_f64(self%handle, rows, x%first, x%row, x%col, r%first, r%row, r%col, threads, &
                                   space, watch)
         else if (bits == 32) then
            status = c_eval_f32(self%handle, rows, x%first, x%row, x%col, r%first, r%row, r%col, space, watch)
         else
            status = c_eval_f64(self%handle, rows, x%first, x%row, x%col, r%first, r%row, r%col, space, watch)
         end if
      case (JVP)
         if (bits == 32) then
            status = c_jvp_f32(self%handle, rows, x%first, x%row, x%col, d%first, d%row, d%col, &
                               r%first, r%row, r%col, space, watch)
         else
            status = c_jvp_f64(self%handle, rows, x%first, x%row, x%col, d%first, d%row, d%col, &
                               r%first, r%row, r%col, space, watch)
         end if
      case default
         if (bits == 32) then
            status = c_vjp_f32(self%handle, rows, x%first, x%row, x%col, d%first, d%row, d%col, &
                               r%first, r%row, r%col, space, watch)
         else
            status = c_vjp_f64(self%handle, rows, x%first, x%row, x%col, d%first, d%row, d%col, &
                               r%first, r%row, r%col, space, watch)
         end if
      end select
      if (present(guard)) call take_counts(c, guard)
      if (status == SG_OK) return
      if (present(guard) .and. (status == SG_ERR_DOMAIN .or. status == SG_ERR_NOT_FINITE)) then
         call self%explain(guard, error)
      else if (status == SG_ERR_DIVERGED) then
         call fail(error, status, "guard", "the procedure to fall back to failed")
      else
         call fail(error, status, "surrogate", sg_status_text(status))
      end if

   contains

      recursive subroutine set_fallback
         back%n_in          = self%inputs
         back%n_out         = self%outputs
         c%fallback_context = c_loc(back)
         select case (what)
         case (EVAL)
            back%kernel => guard%fallback
            c%fallback = c_funloc(call_kernel)
         case (JVP)
            back%derivative => guard%fallback_jvp
            back%n_d       = self%inputs
            back%n_r       = self%outputs
            c%fallback_jvp = c_funloc(call_derivative)
         case default
            back%derivative => guard%fallback_vjp
            back%n_d       = self%outputs
            back%n_r       = self%inputs
            c%fallback_vjp = c_funloc(call_derivative)
         end select
      end subroutine
   end subroutine

   recursive subroutine eval_row_f32(self, x, y, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_float), intent(in), target       :: x(:)    !! (n_in)
      real(c_float), intent(inout), target    :: y(:)    !! (n_out)
      integer(sg_byte), intent(inout)         :: work(:) !! (>= workspace_bytes()) of this thread
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard   !! without it: no check, no cost
      integer(c_ptrdiff), parameter :: bytes = 4
      if (.not. fits(self, ["x", "y"], [self%inputs, self%outputs], reshape([size(x), 1, size(y), 1], [2, 2]), &
                     .false., work, self%workspace_bytes(), error)) return
      call run(self, EVAL, 32, 1, placed_row(c_loc(x(1)), c_loc(x(min(2, size(x)))), bytes), place(), &
               placed_row(c_loc(y(1)), c_loc(y(min(2, size(y)))), bytes), work, error, guard)
   end subroutine

   recursive subroutine eval_row_f64(self, x, y, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_double), intent(in), target      :: x(:)    !! (n_in)
      real(c_double), intent(inout), target   :: y(:)    !! (n_out)
      integer(sg_byte), intent(inout)         :: work(:) !! (>= workspace_bytes()) of this thread
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard   !! without it: no check, no cost
      integer(c_ptrdiff), parameter :: bytes = 8
      if (.not. fits(self, ["x", "y"], [self%inputs, self%outputs], reshape([size(x), 1, size(y), 1], [2, 2]), &
                     .false., work, self%workspace_bytes(), error)) return
      call run(self, EVAL, 64, 1, placed_row(c_loc(x(1)), c_loc(x(min(2, size(x)))), bytes), place(), &
               placed_row(c_loc(y(1)), c_loc(y(min(2, size(y)))), bytes), work, error, guard)
   end subroutine

   recursive subroutine eval_f32(self, x, y, work, error, guard, num_threads)
      class(sg_surrogate), intent(in)         :: self
      real(c_float), intent(in), target       :: x(:, :) !! (n_in, n)
      real(c_float), intent(inout), target    :: y(:, :) !! (n_out, n)
      integer(sg_byte), intent(inout)         :: work(:) !! (>= workspace_bytes(num_threads))
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      integer, intent(in), optional           :: num_threads !! default: the calling thread alone
      if (.not. fits(self, ["x", "y"], [self%inputs, self%outputs], reshape([shape(x), shape(y)], [2, 2]), &
                     .false., work, self%workspace_bytes(num_threads), error)) return
      call run(self, EVAL, 32, size(x, 2), place_f32(x, .false.), place(), place_f32(y, .false.), &
               work, error, guard, num_threads)
   end subroutine

   recursive subroutine eval_f64(self, x, y, work, error, guard, num_threads)
      class(sg_surrogate), intent(in)         :: self
      real(c_double), intent(in), target      :: x(:, :) !! (n_in, n)
      real(c_double), intent(inout), target   :: y(:, :) !! (n_out, n)
      integer(sg_byte), intent(inout)         :: work(:) !! (>= workspace_bytes(num_threads))
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      integer, intent(in), optional           :: num_threads !! default: the calling thread alone
      if (.not. fits(self, ["x", "y"], [self%inputs, self%outputs], reshape([shape(x), shape(y)], [2, 2]), &
                     .false., work, self%workspace_bytes(num_threads), error)) return
      call run(self, EVAL, 64, size(x, 2), place_f64(x, .false.), place(), place_f64(y, .false.), &
               work, error, guard, num_threads)
   end subroutine

   recursive subroutine eval_columns_f32(self, x, y, work, error, guard, num_threads)
      class(sg_surrogate), intent(in)         :: self
      real(c_float), intent(in), target       :: x(:, :) !! (n, n_in)
      real(c_float), intent(inout), target    :: y(:, :) !! (n, n_out)
      integer(sg_byte), intent(inout)         :: work(:) !! (>= workspace_bytes(num_threads))
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      integer, intent(in), optional           :: num_threads !! default: the calling thread alone
      if (.not. fits(self, ["x", "y"], [self%inputs, self%outputs], reshape([shape(x), shape(y)], [2, 2]), &
                     .true., work, self%workspace_bytes(num_threads), error)) return
      call run(self, EVAL, 32, size(x, 1), place_f32(x, .true.), place(), place_f32(y, .true.), &
               work, error, guard, num_threads)
   end subroutine

   recursive subroutine eval_columns_f64(self, x, y, work, error, guard, num_threads)
      class(sg_surrogate), intent(in)         :: self
      real(c_double), intent(in), target      :: x(:, :) !! (n, n_in)
      real(c_double), intent(inout), target   :: y(:, :) !! (n, n_out)
      integer(sg_byte), intent(inout)         :: work(:) !! (>= workspace_bytes(num_threads))
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      integer, intent(in), optional           :: num_threads !! default: the calling thread alone
      if (.not. fits(self, ["x", "y"], [self%inputs, self%outputs], reshape([shape(x), shape(y)], [2, 2]), &
                     .true., work, self%workspace_bytes(num_threads), error)) return
      call run(self, EVAL, 64, size(x, 1), place_f64(x, .true.), place(), place_f64(y, .true.), &
               work, error, guard, num_threads)
   end subroutine

   recursive subroutine jvp_f32(self, x, dx, dy, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_float), intent(in), target       :: x(:, :)  !! (n_in, n)
      real(c_float), intent(in), target       :: dx(:, :) !! (n_in, n)
      real(c_float), intent(inout), target    :: dy(:, :) !! (n_out, n)
      integer(sg_byte), intent(inout)         :: work(:)  !! (>= derivative_workspace_bytes())
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      if (.not. fits(self, ["x ", "dx", "dy"], [self%inputs, self%inputs, self%outputs], &
                     reshape([shape(x), shape(dx), shape(dy)], [2, 3]), .false., work, &
                     self%derivative_workspace_bytes(), error)) return
      call run(self, JVP, 32, size(x, 2), place_f32(x, .false.), place_f32(dx, .false.), &
               place_f32(dy, .false.), work, error, guard)
   end subroutine

   recursive subroutine jvp_f64(self, x, dx, dy, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_double), intent(in), target      :: x(:, :)  !! (n_in, n)
      real(c_double), intent(in), target      :: dx(:, :) !! (n_in, n)
      real(c_double), intent(inout), target   :: dy(:, :) !! (n_out, n)
      integer(sg_byte), intent(inout)         :: work(:)  !! (>= derivative_workspace_bytes())
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      if (.not. fits(self, ["x ", "dx", "dy"], [self%inputs, self%inputs, self%outputs], &
                     reshape([shape(x), shape(dx), shape(dy)], [2, 3]), .false., work, &
                     self%derivative_workspace_bytes(), error)) return
      call run(self, JVP, 64, size(x, 2), place_f64(x, .false.), place_f64(dx, .false.), &
               place_f64(dy, .false.), work, error, guard)
   end subroutine

   recursive subroutine jvp_columns_f32(self, x, dx, dy, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_float), intent(in), target       :: x(:, :)  !! (n, n_in)
      real(c_float), intent(in), target       :: dx(:, :) !! (n, n_in)
      real(c_float), intent(inout), target    :: dy(:, :) !! (n, n_out)
      integer(sg_byte), intent(inout)         :: work(:)  !! (>= derivative_workspace_bytes())
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      if (.not. fits(self, ["x ", "dx", "dy"], [self%inputs, self%inputs, self%outputs], &
                     reshape([shape(x), shape(dx), shape(dy)], [2, 3]), .true., work, &
                     self%derivative_workspace_bytes(), error)) return
      call run(self, JVP, 32, size(x, 1), place_f32(x, .true.), place_f32(dx, .true.), &
               place_f32(dy, .true.), work, error, guard)
   end subroutine

   recursive subroutine jvp_columns_f64(self, x, dx, dy, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_double), intent(in), target      :: x(:, :)  !! (n, n_in)
      real(c_double), intent(in), target      :: dx(:, :) !! (n, n_in)
      real(c_double), intent(inout), target   :: dy(:, :) !! (n, n_out)
      integer(sg_byte), intent(inout)         :: work(:)  !! (>= derivative_workspace_bytes())
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      if (.not. fits(self, ["x ", "dx", "dy"], [self%inputs, self%inputs, self%outputs], &
                     reshape([shape(x), shape(dx), shape(dy)], [2, 3]), .true., work, &
                     self%derivative_workspace_bytes(), error)) return
      call run(self, JVP, 64, size(x, 1), place_f64(x, .true.), place_f64(dx, .true.), &
               place_f64(dy, .true.), work, error, guard)
   end subroutine

   recursive subroutine vjp_f32(self, x, dy, dx, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_float), intent(in), target       :: x(:, :)  !! (n_in, n)
      real(c_float), intent(in), target       :: dy(:, :) !! (n_out, n)
      real(c_float), intent(inout), target    :: dx(:, :) !! (n_in, n)
      integer(sg_byte), intent(inout)         :: work(:)  !! (>= derivative_workspace_bytes())
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      if (.not. fits(self, ["x ", "dy", "dx"], [self%inputs, self%outputs, self%inputs], &
                     reshape([shape(x), shape(dy), shape(dx)], [2, 3]), .false., work, &
                     self%derivative_workspace_bytes(), error)) return
      call run(self, VJP, 32, size(x, 2), place_f32(x, .false.), place_f32(dy, .false.), &
               place_f32(dx, .false.), work, error, guard)
   end subroutine

   recursive subroutine vjp_f64(self, x, dy, dx, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_double), intent(in), target      :: x(:, :)  !! (n_in, n)
      real(c_double), intent(in), target      :: dy(:, :) !! (n_out, n)
      real(c_double), intent(inout), target   :: dx(:, :) !! (n_in, n)
      integer(sg_byte), intent(inout)         :: work(:)  !! (>= derivative_workspace_bytes())
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      if (.not. fits(self, ["x ", "dy", "dx"], [self%inputs, self%outputs, self%inputs], &
                     reshape([shape(x), shape(dy), shape(dx)], [2, 3]), .false., work, &
                     self%derivative_workspace_bytes(), error)) return
      call run(self, VJP, 64, size(x, 2), place_f64(x, .false.), place_f64(dy, .false.), &
               place_f64(dx, .false.), work, error, guard)
   end subroutine

   recursive subroutine vjp_columns_f32(self, x, dy, dx, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_float), intent(in), target       :: x(:, :)  !! (n, n_in)
      real(c_float), intent(in), target       :: dy(:, :) !! (n, n_out)
      real(c_float), intent(inout), target    :: dx(:, :) !! (n, n_in)
      integer(sg_byte), intent(inout)         :: work(:)  !! (>= derivative_workspace_bytes())
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      if (.not. fits(self, ["x ", "dy", "dx"], [self%inputs, self%outputs, self%inputs], &
                     reshape([shape(x), shape(dy), shape(dx)], [2, 3]), .true., work, &
                     self%derivative_workspace_bytes(), error)) return
      call run(self, VJP, 32, size(x, 1), place_f32(x, .true.), place_f32(dy, .true.), &
               place_f32(dx, .true.), work, error, guard)
   end subroutine

   recursive subroutine vjp_columns_f64(self, x, dy, dx, work, error, guard)
      class(sg_surrogate), intent(in)         :: self
      real(c_double), intent(in), target      :: x(:, :)  !! (n, n_in)
      real(c_double), intent(in), target      :: dy(:, :) !! (n, n_out)
      real(c_double), intent(inout), target   :: dx(:, :) !! (n, n_in)
      integer(sg_byte), intent(inout)         :: work(:)  !! (>= derivative_workspace_bytes())
      type(sg_error), intent(inout)           :: error
      type(sg_guard), intent(inout), optional :: guard
      if (.not. fits(self, ["x ", "dy", "dx"], [self%inputs, self%outputs, self%inputs], &
                     reshape([shape(x), shape(dy), shape(dx)], [2, 3]), .true., work, &
                     self%derivative_workspace_bytes(), error)) return
      call run(self, VJP, 64, size(x, 1), place_f64(x, .true.), place_f64(dy, .true.), &
               place_f64(dx, .true.), work, error, guard)
   end subroutine
end module simgraft
